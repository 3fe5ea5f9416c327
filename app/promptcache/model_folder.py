"""Owns one model's folder and the table of what it holds, kept in step; decides nothing.

Its `lock` guards the table and every renaming of files in the folder; it is held for neither
reading nor writing a state.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from app.promptcache.entries import PIN_FORM, Entry, EntryTable, metadata_id
from app.promptcache.entry_file import read_entry, read_metadata
from app.promptcache.entry_header import BadEntry, EntryBody, EntryMetadata
from app.promptcache.files import Files
from app.promptcache.folder_scan import TRANSIENT_ERRORS, Expected, ScanResult, scan
from app.promptcache.folders import clear_folder, file_name
from app.promptcache.page_index import follow

_TOUCH_EVERY_S = 60.0
_LATER_S = 0.001
_TICK_NS = 50_000_000


class ModelFolder:
    """The entries of one model.

    Args:
        folder: the model's folder.
        expected: entries that are not so are removed.
        can_cut: whether a restored state may lose its end.
        notify: gets a level and a sentence.
        clock: seconds since the epoch.
        files: the system calls.
    """

    def __init__(
        self,
        folder: Path,
        expected: Expected,
        *,
        can_cut: bool,
        notify: Callable[[str, str], None],
        clock: Callable[[], float],
        files: Files,
    ) -> None:
        self.folder = folder
        self.expected = expected
        self.files = files
        self.lock = threading.RLock()
        self.table = EntryTable(can_cut=can_cut)
        self.generation = 0
        """Rises with each `clear`: writes that began before it are dropped."""
        self.n_bad = 0
        self._notify = notify
        self._clock = clock
        self._latest_s = 0.0
        self._is_scanned = False
        self._seen_ns = 0

    def open(self) -> bool:
        """Make the folder; the first time, look at all that is in it.

        Returns:
            Whether it was the first time.

        Raises:
            OSError: the folder cannot be made or read.
        """
        self.files.make_folder(self.folder)
        if self._is_scanned:
            return False
        if summary := self._scan().summary():
            self._notify("warning", summary)
        self._is_scanned = True
        settle_pins(self)
        return True

    def refresh(self) -> None:
        """Take in what another process has put into the folder, if anything has changed there."""
        with contextlib.suppress(OSError):
            if self._is_scanned and self.folder.stat().st_mtime_ns != self._seen_ns:
                result = self._scan()
                if result.removed:
                    self._notify("warning", result.summary())

    def _scan(self) -> ScanResult:
        with self.lock:
            changed_ns = self.folder.stat().st_mtime_ns
            # A change so soon after another one may bear the same time.
            is_settled = abs(time.time_ns() - changed_ns) > _TICK_NS
            self._seen_ns = changed_ns if is_settled else 0
            known = {entry.file_name for entry in self.table}
            result = scan(self.folder, self.expected, self.files, self._clock(), known)
            for entry in self.table:
                if entry.file_name not in result.names:  # removed or renamed by another process
                    self.table.pop(entry.entry_id)
            for entry in result.entries:
                self._take_in(entry)
            self.n_bad += result.removed.total()
        return result

    def _take_in(self, entry: Entry) -> None:
        """Add an entry that was found; of a pinned and an ordinary one the pinned one stays."""
        self._latest_s = max(self._latest_s, entry.last_used_s)
        same = self.table.get(entry.entry_id)
        if same is not None and same.is_pinned:
            self.files.try_remove(self.path(entry))
            return
        if same is not None:
            self.files.try_remove(self.path(same))
        self.table.add(entry)

    def path(self, entry: Entry) -> Path:
        """Return the path of an entry's file."""
        return self.folder / entry.file_name

    def next_use_s(self) -> float:
        """Return a time that is later than all before, even when the clock was set back."""
        self._latest_s = max(self._clock(), self._latest_s + _LATER_S)
        return self._latest_s

    def read_metadata(self, entry: Entry) -> EntryMetadata | None:
        """Return an entry without its body; None where it is gone or bad."""
        path = self.path(entry)
        try:
            metadata = read_metadata(path, self.expected.fingerprint, self.files)
            self._check(entry, metadata)
        except (BadEntry, OSError) as error:
            self._discard(entry, path, error)
            return None
        return metadata

    def read(
        self, entry: Entry, *, with_window: bool = True
    ) -> tuple[EntryMetadata, EntryBody] | None:
        """Return an entry and its body; None where it is gone or bad.

        Args:
            with_window: whether window rows are wanted.
        """
        path = self.path(entry)
        most_bytes = max(self.expected.most_bytes, entry.n_bytes)
        try:
            fingerprint = self.expected.fingerprint
            metadata, body = read_entry(
                path, fingerprint, self.files, most_bytes, with_window=with_window
            )
            self._check(entry, metadata)
        except MemoryError:
            return None
        except (BadEntry, OSError) as error:
            self._discard(entry, path, error)
            return None
        return metadata, body

    def _check(self, entry: Entry, metadata: EntryMetadata) -> None:
        self.expected.check(metadata)
        if metadata_id(metadata) != entry.entry_id:
            raise BadEntry("misnamed")

    def mark_used(self, entries: Sequence[Entry]) -> None:
        """Count a use of entries, ends before beginnings, so that none is older than what follows.

        The time of use is written about once a minute, and for what comes before such a one too.
        """
        now_s = self._clock()
        touched: list[Entry] = []
        with self.lock:
            here = [each for each in entries if self.table.get(each.entry_id) is each]
            for entry in sorted(here, key=_ends_first):
                self.table.mark_used(entry, self.next_use_s())
                if touched or not 0 <= now_s - entry.touched_s < _TOUCH_EVERY_S:
                    entry.touched_s = now_s
                    touched.append(entry)
            for entry in touched:
                with contextlib.suppress(OSError):
                    self.files.touch(self.path(entry), entry.last_used_s)

    def _discard(self, entry: Entry, path: Path, error: BadEntry | OSError) -> None:
        if isinstance(error, OSError) and error.errno in TRANSIENT_ERRORS:
            return
        with self.lock:
            if self.table.get(entry.entry_id) is not entry or self.path(entry) != path:
                return  # replaced or renamed meanwhile
            self.table.pop(entry.entry_id)
            if isinstance(error, FileNotFoundError):
                return  # evicted by another process
            self.n_bad += 1
            is_gone = self.files.try_remove(path)
        reason = error.reason if isinstance(error, BadEntry) else "unreadable"
        what = "removed" if is_gone else "ignored, for it cannot be removed"
        self._notify("warning", f"A prompt in the cache cannot be used ({reason}) and was {what}.")

    def put(self, temporary: Path, entry: Entry, generation: int) -> bool:
        """Give a finished file its name.

        Returns:
            False where the folder was cleared meanwhile; the file is gone then.

        Raises:
            OSError: as the system gives it; the file is gone then.
        """
        try:
            with self.lock:
                if generation != self.generation:
                    self.files.remove(temporary)
                    return False
                same = self.table.get(entry.entry_id)
                if same is not None and same.is_pinned and not entry.is_pinned:
                    entry.is_pinned, entry.profile = True, same.profile
                entry.last_used_s = self.next_use_s()
                self.files.touch(temporary, entry.last_used_s)
                self.files.rename(temporary, self.path(entry))
                self.table.add(entry)
        except FileNotFoundError:  # cleared by another process
            return False
        except BaseException:
            self.files.try_remove(temporary)
            raise
        if entry.is_pinned:  # there may be an ordinary one of the same tokens
            self.files.try_remove(self.folder / file_name(entry.entry_id, is_pinned=False))
        return True

    def remove(self, entry_ids: Iterable[str]) -> None:
        """Remove entries that are no longer wanted.

        Raises:
            OSError: a file cannot be removed; its entry stays.
        """
        for entry_id in entry_ids:
            entry = self.table.get(entry_id)
            if entry is not None:
                self.files.remove(self.path(entry))
                with self.lock:
                    if self.table.get(entry_id) is entry:
                        self.table.pop(entry_id)

    def unpin_except(self, profiles: Mapping[str, bytes | None]) -> None:
        """Unpin what all other profiles need, and nobody else.

        Args:
            profiles: the packed tokens of each; None stands for whatever it has.
        """
        with self.lock:
            for entry in self.table:
                is_unknown = profiles.get(entry.profile, b"") is None
                if entry.is_anchor and not is_unknown and entry.tokens not in profiles.values():
                    with contextlib.suppress(OSError):
                        self._unpin(entry)
        settle_pins(self)

    def _unpin(self, entry: Entry) -> None:
        if entry.form == PIN_FORM:
            self.remove([entry.entry_id])
        else:
            self.rename(entry, is_pinned=False)
            entry.unpin()

    def rename(self, entry: Entry, *, is_pinned: bool) -> None:
        """Give the file of an entry the name of one that is pinned, or of an ordinary one.

        Raises:
            OSError: as the system gives it; nothing has changed then.
        """
        with self.lock:
            new = self.folder / file_name(entry.entry_id, is_pinned=is_pinned)
            self.files.rename(self.path(entry), new)
            entry.is_pinned = is_pinned

    def clear(self) -> tuple[int, int]:
        """Remove all entries, and keep out what is being written.

        Returns:
            The number of files removed and their bytes.
        """
        with self.lock:
            self.generation += 1
            for entry in self.table:
                self.table.pop(entry.entry_id)
        try:
            return clear_folder(self.folder.parent, self.folder.name)
        except OSError:
            return 0, 0


def _ends_first(entry: Entry) -> tuple[int, bool]:
    return -entry.n_tokens, entry.kind == "block"


def settle_pins(folder: ModelFolder) -> None:
    """Pin what profiles need, the blocks and states of their tokens, and nothing else."""
    with folder.lock:
        needed: dict[str, str] = {}
        for anchor in folder.table:
            if anchor.is_anchor:
                links = follow(anchor.tokens, [folder.table.blocks])
                states = folder.table.states_at(anchor.tokens)
                ids = [link.block_id for link in links] + [each.entry_id for each in states]
                needed.update(dict.fromkeys(ids, anchor.profile))
        for entry in folder.table:
            profile = needed.get(entry.entry_id, "")
            if entry.is_anchor or (not profile and not entry.is_pinned):
                continue
            with contextlib.suppress(OSError):
                if entry.is_pinned != bool(profile):
                    folder.rename(entry, is_pinned=bool(profile))
                entry.profile = profile
