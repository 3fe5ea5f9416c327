"""Owns the way of an entry to the disk: is it wanted, is there room, write, put on the shelf."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from app.promptcache.entries import entry_of, id_of
from app.promptcache.entry_file import write_temporary
from app.promptcache.entry_header import Draft, Head
from app.promptcache.eviction import choose_victims
from app.promptcache.folders import EntryOnDisk, entries_on_disk, temporary_name
from app.promptcache.model_folder import ModelFolder
from app.promptcache.token_bytes import TOKEN_BYTES
from app.promptcache.write_budget import WriteBudget
from app.promptcache.write_errors import WriteErrors


class EntryWriter:
    """Writes entries, one at a time.

    Args:
        root: folder of all models.
        shelf: where entries go.
        ledger: what was written today.
        outage: whether writing works.
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
        self._one_at_a_time = threading.Lock()

    def open(self) -> None:
        """Open the shelf; a failure is an outage."""
        with self._one_at_a_time:
            try:
                self._open()
            except OSError as error:
                self._write_errors.begin(error)

    def _open(self) -> None:
        if self._model_folder.open():
            self._make_room(0, frozenset())

    def write(self, draft: Draft, *, replaces: bool, between: Callable[[], None]) -> bool:
        """Write an entry; see `DiskStore.write`."""
        with self._one_at_a_time:
            try:
                is_written = self._write_errors.may_try() and self._write(draft, replaces, between)
            except OSError as error:
                self._write_errors.begin(error)
                return False
            if is_written:
                self._write_errors.end()
            return is_written

    def _write(self, draft: Draft, replaces: bool, between: Callable[[], None]) -> bool:
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
        self._fill(temporary, draft, between)
        head = Head(draft.header(), draft.tokens, draft.extra, n_bytes)
        entry = entry_of(head, is_pinned=bool(draft.profile), used_s=draft.created_s)
        if not self._model_folder.put(temporary, entry, generation):
            return False
        self._model_folder.remove(outdated)
        self._model_folder.files.sync_folder(self._model_folder.folder)
        return True

    def _wants(self, draft: Draft) -> bool:
        covering = self._model_folder.table.covering(draft.tokens, draft.form)
        if not draft.profile:
            return not covering
        return not any(entry.profile and entry.tokens == draft.tokens for entry in covering)

    def _outdated(self, draft: Draft) -> frozenset[str]:
        """Return the ids of the turns that this one goes on from."""
        if draft.role != "turn":
            return frozenset()
        return frozenset(
            entry.entry_id
            for entry in self._model_folder.table.whole_in(draft.tokens, draft.form)
            if entry.role == "turn" and entry.tokens != draft.tokens
        )

    def _fill(self, temporary: Path, draft: Draft, between: Callable[[], None]) -> None:
        n_written = 0

        def on_piece(n_bytes: int) -> None:
            nonlocal n_written
            n_written += n_bytes
            between()

        try:
            write_temporary(temporary, draft, self._model_folder.files, on_piece)
        finally:
            self._write_budget.spend(n_written)

    def _make_room(self, n_bytes: int, outdated: frozenset[str]) -> bool:
        """Evict until so much fits: what is outdated first, then what was not used longest."""
        on_disk = list(entries_on_disk(self._root))
        excess = sum(each.n_bytes for each in on_disk) + n_bytes - self.capacity_bytes
        with self._model_folder.lock:
            own = {entry.file_name: entry for entry in self._model_folder.table}

        def order(each: EntryOnDisk) -> float:
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
