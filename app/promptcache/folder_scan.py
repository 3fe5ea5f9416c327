"""Owns the first look into a model's folder: what is good is taken in, what is not is removed."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from errno import EMFILE, ENFILE, ENOMEM
from pathlib import Path

from app.promptcache.entries import Entry, entry_of
from app.promptcache.entry_file import MAX_FILE_BYTES, read_metadata
from app.promptcache.entry_header import BadEntry
from app.promptcache.files import Files
from app.promptcache.folders import PINNED_SUFFIX, SUFFIX, TEMPORARY_SUFFIX, is_orphan

# The system is short of something; the file may be fine.
TRANSIENT_ERRORS = frozenset({EMFILE, ENFILE, ENOMEM})


@dataclass(slots=True)
class ScanResult:
    """What a folder held.

    Args:
        entries: the good ones, the least recently used first.
        removed: number of files removed, by reason.
        stuck: number of files that could not be removed.
        names: of all our files, those that were known included.
    """

    entries: list[Entry] = field(default_factory=list)
    removed: Counter[str] = field(default_factory=Counter)
    stuck: int = 0
    names: set[str] = field(default_factory=set)

    def summary(self) -> str:
        """Return one sentence on what was removed, "" where nothing was."""
        counts = ", ".join(f"{n} {reason}" for reason, n in sorted(self.removed.items()))
        text = f"Prompts in the cache that cannot be used were removed: {counts}." if counts else ""
        if self.stuck:
            text += f" {self.stuck} could not be removed and are ignored."
        return text.strip()


def scan(
    folder: Path,
    fingerprint: str,
    files: Files,
    now_s: float,
    known: Collection[str] = (),
    most_bytes: int = MAX_FILE_BYTES,
) -> ScanResult:
    """Look at all files of a model and remove those that are of no use.

    Args:
        known: names of files that need no look.
        most_bytes: a larger file, unless it is pinned, is of no use.

    Raises:
        OSError: the folder cannot be read.
    """
    result = ScanResult()
    seen: set[str] = set()
    for path, modified_s in _unknown(folder, known, result.names):
        if path.name.endswith(TEMPORARY_SUFFIX):
            if is_orphan(path.name, modified_s, now_s):
                files.try_remove(path)
            continue
        try:
            entry = _entry(path, fingerprint, files, modified_s, most_bytes)
        except BadEntry as bad:
            _remove(path, bad.reason, files, result)
        except FileNotFoundError:  # removed meanwhile
            result.names.discard(path.name)
        except OSError as error:
            if error.errno not in TRANSIENT_ERRORS:
                _remove(path, "unreadable", files, result)
        else:
            if entry.entry_id in seen:  # a power cut between pinning it and removing the old file
                files.try_remove(path)
            else:
                seen.add(entry.entry_id)
                result.entries.append(entry)
    result.entries.sort(key=lambda entry: entry.last_used_s)
    return result


def _unknown(folder: Path, known: Collection[str], names: set[str]) -> Iterator[tuple[Path, float]]:
    """Yield our files with their times of modification, pinned ones first; note all their names."""
    with os.scandir(folder) as found:
        ours = [file for file in found if file.name.endswith((SUFFIX, TEMPORARY_SUFFIX))]
    names.update(file.name for file in ours)
    unknown = [file for file in ours if file.name not in known]
    for file in sorted(unknown, key=lambda file: not file.name.endswith(PINNED_SUFFIX)):
        try:
            modified_s = file.stat(follow_symlinks=False).st_mtime
        except FileNotFoundError:
            continue
        yield Path(file.path), modified_s


def _entry(path: Path, fingerprint: str, files: Files, modified_s: float, most_bytes: int) -> Entry:
    is_pinned = path.name.endswith(PINNED_SUFFIX)
    metadata = read_metadata(path, fingerprint, files, MAX_FILE_BYTES if is_pinned else most_bytes)
    entry = entry_of(metadata, is_pinned=is_pinned, used_s=modified_s)
    if entry.file_name != path.name:
        raise BadEntry("misnamed")
    return entry


def _remove(path: Path, reason: str, files: Files, result: ScanResult) -> None:
    if files.try_remove(path):
        result.removed[reason] += 1
    else:
        result.stuck += 1
