"""Owns the names below the cache's root and what may be removed there; knows no file's content.

    <root>/<one folder a model>/<id>.kv          an entry
                                <id>.pinned.kv   one that is never evicted
                                <id>.<process>-<random>.tmp   one that is being written

Nothing else is ever touched, and no link is followed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

SUFFIX = ".kv"
PINNED_SUFFIX = ".pinned.kv"
TEMPORARY_SUFFIX = ".tmp"

_MAX_FOLDER_NAME = 100
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")
_TEMPORARY = re.compile(r"\.(\d{1,10})-[0-9a-f]+\.tmp$")
_ORPHAN_AGE_S = 600.0


@dataclass(frozen=True, slots=True)
class EntryFile:
    """The file of an entry, of whichever model.

    Args:
        folder: name of the model's folder.
        name: name of the file.
        n_bytes: its size.
        last_used_s: its time of modification.
    """

    folder: str
    name: str
    n_bytes: int
    last_used_s: float

    @property
    def is_pinned(self) -> bool:
        """Whether it is never to be evicted."""
        return self.name.endswith(PINNED_SUFFIX)


def folder_name(model_file_name: str) -> str:
    """Return the name of a model's folder: safe, and another one for each model.

    A name that is safe already stays as it is.
    """
    safe = _UNSAFE.sub("_", model_file_name).lstrip(".")[:_MAX_FOLDER_NAME]
    if safe == model_file_name and safe:
        return safe
    digest = hashlib.sha256(model_file_name.encode(errors="surrogatepass")).hexdigest()
    return f"{safe[: _MAX_FOLDER_NAME - 9]}-{digest[:8]}"


def file_name(entry_id: str, *, is_pinned: bool) -> str:
    """Return the name of an entry's file."""
    return entry_id + (PINNED_SUFFIX if is_pinned else SUFFIX)


def temporary_name(entry_id: str) -> str:
    """Return a name for an entry that is being written by this process."""
    return f"{entry_id}.{os.getpid()}-{secrets.token_hex(8)}{TEMPORARY_SUFFIX}"


def is_orphan(name: str, modified_s: float, now_s: float) -> bool:
    """Say whether nobody writes a temporary file any more."""
    match = _TEMPORARY.search(name)
    too_old = now_s - modified_s > _ORPHAN_AGE_S
    return match is None or too_old or not _is_alive(int(match[1]))


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return pid > 0


def entry_files(root: Path) -> Iterator[EntryFile]:
    """Yield the entries of all models; what cannot be looked at is left out."""
    for folder, _ in folders_in(root):
        yield from files_in(folder)


def folders_in(root: Path) -> Iterator[tuple[Path, int]]:
    """Yield the folders of all models, and when something in them was last added or removed."""
    for folder in _listed(root):
        with contextlib.suppress(OSError):  # removed meanwhile
            if folder.is_dir(follow_symlinks=False):
                yield Path(folder.path), folder.stat(follow_symlinks=False).st_mtime_ns


def files_in(folder: Path, known: Collection[str] = ()) -> Iterator[EntryFile]:
    """Yield the entries of a model, but for those whose names are known."""
    for file in _listed(folder):
        with contextlib.suppress(OSError):  # removed meanwhile
            is_ours = file.name.endswith(SUFFIX) and file.name not in known
            if is_ours and file.is_file(follow_symlinks=False):
                facts = file.stat(follow_symlinks=False)
                yield EntryFile(folder.name, file.name, facts.st_size, facts.st_mtime)


def _listed(path: str | Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(path) as found:
            return list(found)
    except OSError:
        return []


def usage(root: Path) -> dict[str, tuple[int, int]]:
    """Return the number of entries and their bytes for each folder that has any."""
    sums: dict[str, tuple[int, int]] = {}
    for entry in entry_files(root):
        n_entries, n_bytes = sums.get(entry.folder, (0, 0))
        sums[entry.folder] = n_entries + 1, n_bytes + entry.n_bytes
    return sums


def clear_folder(root: Path, folder: str) -> tuple[int, int]:
    """Remove the entries of a model, and what is being written.

    Returns:
        The number of entries removed and their bytes.

    Raises:
        ValueError: `folder` is no name of a folder right below `root`.
        OSError: the folder cannot be read.
    """
    if folder in ("", ".", "..") or "/" in folder or "\0" in folder:
        raise ValueError(f"{folder!r} is not the name of a folder in the prompt cache")
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(root / folder, flags)
    except FileNotFoundError:
        return 0, 0
    try:
        return _clear(descriptor)
    finally:
        os.close(descriptor)


def _clear(folder: int) -> tuple[int, int]:
    n_entries = n_bytes = 0
    for name in os.listdir(folder):
        if name.endswith((SUFFIX, TEMPORARY_SUFFIX)):
            with contextlib.suppress(OSError):  # a folder, or removed meanwhile
                size = os.stat(name, dir_fd=folder, follow_symlinks=False).st_size
                os.unlink(name, dir_fd=folder)
                if name.endswith(SUFFIX):
                    n_entries, n_bytes = n_entries + 1, n_bytes + size
    return n_entries, n_bytes
