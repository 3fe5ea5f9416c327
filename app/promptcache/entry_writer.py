"""Owns writing an entry: whether it is wanted, evicting others for it, the file, disk failures."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from errno import EACCES, EDQUOT, ENOSPC, EPERM, EROFS
from pathlib import Path

from app.promptcache.entries import entry_of, id_of
from app.promptcache.entry_file import write_temporary
from app.promptcache.entry_header import EntryDraft, EntryMetadata
from app.promptcache.folders import EntryFile, entry_files, temporary_name
from app.promptcache.model_folder import ModelFolder
from app.promptcache.token_bytes import TOKEN_BYTES
from app.promptcache.write_budget import WriteBudget

RETRY_AFTER_S = 30.0

_WHAT = {
    ENOSPC: "the disk is full",
    EDQUOT: "the disk quota is used up",
    EROFS: "the disk is read-only",
    EACCES: "the folder may not be written",
    EPERM: "the folder may not be written",
}


class WriteErrors:
    """A time in which writes fail.

    Args:
        notify: gets a level and a sentence when it begins and when it is over.
        clock: seconds since the epoch.
    """

    def __init__(self, notify: Callable[[str, str], None], clock: Callable[[], float]) -> None:
        self._notify = notify
        self._clock = clock
        self._failed_s = 0.0
        self.write_error = ""

    def may_try(self) -> bool:
        """Whether a write is worth trying; a clock that was set back does not matter."""
        return not self.write_error or not 0 <= self._clock() - self._failed_s < RETRY_AFTER_S

    def begin(self, error: OSError) -> None:
        """Note that a write failed."""
        is_new = not self.write_error
        self._failed_s = self._clock()
        what = _WHAT.get(error.errno or 0, error.strerror or str(error))
        self.write_error = f"The prompt cache cannot be written: {what}."
        if is_new:
            where = f" ({error.filename})" if error.filename else ""
            self._notify("warning", self.write_error[:-1] + where + "; tried again every 30 s.")

    def end(self) -> None:
        """Note that a write succeeded."""
        if self.write_error:
            self.write_error = ""
            self._notify("info", "The prompt cache can be written again.")


class EntryWriter:
    """Writes entries, one at a time.

    Args:
        root: folder of all models.
        model_folder: where entries go.
        write_budget: counts what is written.
        write_errors: says whether to try at all.
        capacity_bytes: what the entries of all models may take.
        min_tokens: shorter lists are not kept.
    """

    def __init__(
        self,
        root: Path,
        model_folder: ModelFolder,
        write_budget: WriteBudget,
        write_errors: WriteErrors,
        *,
        capacity_bytes: int,
        min_tokens: int,
    ) -> None:
        self.capacity_bytes = capacity_bytes
        self.n_evicted = 0
        self._root = root
        self._model_folder = model_folder
        self._write_budget = write_budget
        self._write_errors = write_errors
        self._min_tokens = min_tokens
        self._write_lock = threading.Lock()

    def open(self) -> None:
        """Open the folder; a failure counts as a failed write."""
        with self._write_lock:
            try:
                self._open()
            except OSError as error:
                self._write_errors.begin(error)

    def _open(self) -> None:
        if self._model_folder.open():
            self._make_room(0, frozenset())

    def write(self, draft: EntryDraft, *, replaces: bool, throttle: Callable[[], None]) -> bool:
        """Write an entry; see `DiskStore.write`."""
        with self._write_lock:
            try:
                is_written = self._write_errors.may_try() and self._write(draft, replaces, throttle)
            except OSError as error:
                self._write_errors.begin(error)
                return False
            if is_written:
                self._write_errors.end()
            return is_written

    def _write(self, draft: EntryDraft, replaces: bool, throttle: Callable[[], None]) -> bool:
        self._open()
        if len(draft.tokens) < self._min_tokens * TOKEN_BYTES:
            return False
        n_bytes = draft.n_bytes()
        with self._model_folder.lock:
            generation = self._model_folder.generation
            if n_bytes > self.capacity_bytes or not self._wants(draft):
                return False
            outdated = self._outdated(draft) if replaces else frozenset()
        if not self._write_budget.allows(n_bytes) or not self._make_room(n_bytes, outdated):
            return False
        temporary = self._model_folder.folder / temporary_name(id_of(draft.tokens, draft.form))
        self._fill(temporary, draft, throttle)
        metadata = EntryMetadata(draft.header(), draft.tokens, draft.extra, n_bytes)
        entry = entry_of(metadata, is_pinned=bool(draft.profile), used_s=draft.created_s)
        if not self._model_folder.put(temporary, entry, generation):
            return False
        self._model_folder.remove(outdated)
        self._model_folder.files.sync_folder(self._model_folder.folder)
        return True

    def _wants(self, draft: EntryDraft) -> bool:
        covering = self._model_folder.table.covering(draft.tokens, draft.form)
        if not draft.profile:
            return not covering
        return not any(entry.profile and entry.tokens == draft.tokens for entry in covering)

    def _outdated(self, draft: EntryDraft) -> frozenset[str]:
        """Return the ids of the turns that this one goes on from."""
        if draft.role != "turn":
            return frozenset()
        return frozenset(
            entry.entry_id
            for entry in self._model_folder.table.prefixes_of(draft.tokens, draft.form)
            if entry.role == "turn" and entry.tokens != draft.tokens
        )

    def _fill(self, temporary: Path, draft: EntryDraft, throttle: Callable[[], None]) -> None:
        n_written = 0

        def on_piece(n_bytes: int) -> None:
            nonlocal n_written
            n_written += n_bytes
            throttle()

        try:
            write_temporary(temporary, draft, self._model_folder.files, on_piece)
        finally:
            self._write_budget.spend(n_written)

    def _make_room(self, n_bytes: int, outdated: frozenset[str]) -> bool:
        """Evict until so much fits: what is outdated first, then what was not used longest."""
        on_disk = list(entry_files(self._root))
        excess = sum(each.n_bytes for each in on_disk) + n_bytes - self.capacity_bytes
        with self._model_folder.lock:
            own = {entry.file_name: entry for entry in self._model_folder.table}

        def order(each: EntryFile) -> float:
            entry = own.get(each.name) if each.folder == self._model_folder.folder.name else None
            if entry is None:
                return each.last_used_s
            return float("-inf") if entry.entry_id in outdated else entry.last_used_s

        victims, is_enough = choose_victims(on_disk, excess, order)
        if n_bytes and not is_enough:
            return False
        for victim in victims:
            if victim.folder == self._model_folder.folder.name and victim.name in own:
                self._model_folder.remove([own[victim.name].entry_id])
            else:
                self._model_folder.files.remove(self._root / victim.folder / victim.name)
        self.n_evicted += len(victims)
        return True


def choose_victims(
    on_disk: Iterable[EntryFile], excess_bytes: int, order: Callable[[EntryFile], float]
) -> tuple[list[EntryFile], bool]:
    """Choose the entries to evict.

    Args:
        on_disk: the entries of all models; pinned ones are never chosen.
        excess_bytes: what is to be freed.
        order: the lowest go first.

    Returns:
        The entries, and whether they are enough.
    """
    victims = []
    evictable = sorted((each for each in on_disk if not each.is_pinned), key=order)
    for each in evictable:
        if excess_bytes <= 0:
            break
        victims.append(each)
        excess_bytes -= each.n_bytes
    return victims, excess_bytes <= 0
