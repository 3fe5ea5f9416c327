"""Owns writing entries: whether they are wanted, room for them, the files, disk failures."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from app.promptcache.entries import PIN_FORM, Entry, block_id, entry_of, id_of
from app.promptcache.entry_file import write_temporary
from app.promptcache.entry_header import EntryBody, EntryDraft, EntryMetadata, Role
from app.promptcache.folders import temporary_name
from app.promptcache.model_folder import ModelFolder, settle_pins
from app.promptcache.page_index import follow
from app.promptcache.snapshot import Snapshot
from app.promptcache.token_bytes import TOKEN_BYTES
from app.promptcache.writing.room import Room
from app.promptcache.writing.snapshot_plan import SnapshotRows, Span, missing_spans
from app.promptcache.writing.write_budget import WriteBudget
from app.promptcache.writing.write_errors import WriteErrors

_NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotDraft:
    """A snapshot to be written; see `DiskStore.write_snapshot`."""

    packed: bytes
    snapshot: Snapshot
    extra: bytes
    role: Role
    profile: str
    form: str
    drops_older: bool
    created_s: float


class EntryWriter:
    """Writes entries, one at a time.

    Args:
        model_folder: where entries go.
        room: evicts others for them.
        write_budget: counts what is written.
        write_errors: says whether to try at all.
        min_tokens: shorter lists are not kept.
        max_block_bytes: rows that one block may have; it has one page at least.
    """

    def __init__(
        self,
        model_folder: ModelFolder,
        room: Room,
        write_budget: WriteBudget,
        write_errors: WriteErrors,
        *,
        min_tokens: int,
        max_block_bytes: int,
    ) -> None:
        self._model_folder = model_folder
        self._room = room
        self._write_budget = write_budget
        self._write_errors = write_errors
        self._min_tokens = min_tokens
        self._max_block_bytes = max_block_bytes
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
            self._room.make(0)

    def write(self, draft: EntryDraft, *, replaces: bool, throttle: Callable[[], None]) -> bool:
        """Write a state entry; see `DiskStore.write`."""
        return self._guarded(lambda: self._write(draft, replaces, throttle))

    def write_snapshot(self, draft: SnapshotDraft, throttle: Callable[[], None]) -> bool:
        """Write what the disk lacks of a snapshot; see `DiskStore.write_snapshot`."""
        return self._guarded(lambda: self._write_snapshot(draft, throttle))

    def _guarded(self, write: Callable[[], bool]) -> bool:
        with self._write_lock:
            try:
                is_written = self._write_errors.may_try() and write()
            except OSError as error:
                self._write_errors.begin(error)
                return False
            if is_written:
                self._write_errors.end()
            return is_written

    # ------------------------------------------------------------ state entries

    def _write(self, draft: EntryDraft, replaces: bool, throttle: Callable[[], None]) -> bool:
        self._open()
        if len(draft.tokens) < self._min_tokens * TOKEN_BYTES:
            return False
        n_bytes = draft.n_bytes()
        with self._model_folder.lock:
            generation = self._model_folder.generation
            if n_bytes > self._room.capacity_bytes or not self._wants(draft):
                return False
            outdated = self._older_turns(draft.tokens, draft.form) if replaces else _NOTHING
            outdated = outdated if draft.role == "turn" else _NOTHING
        if not self._write_budget.allows(n_bytes) or not self._room.make(n_bytes, outdated):
            return False
        if not self._put(draft, generation, throttle):
            return False
        self._model_folder.remove(outdated)
        self._model_folder.files.sync_folder(self._model_folder.folder)
        return True

    def _wants(self, draft: EntryDraft) -> bool:
        covering = self._model_folder.table.covering(draft.tokens, draft.form)
        if not draft.profile:
            return not covering
        return not any(entry.is_anchor and entry.tokens == draft.tokens for entry in covering)

    def _older_turns(self, packed: bytes, form: str) -> frozenset[str]:
        """Return the ids of the turns that these tokens go on from."""
        return frozenset(
            entry.entry_id
            for entry in self._model_folder.table.prefixes_of(packed, form)
            if entry.role == "turn" and not entry.is_pinned and entry.tokens != packed
        )

    # ------------------------------------------------------------ snapshots

    def _write_snapshot(self, draft: SnapshotDraft, throttle: Callable[[], None]) -> bool:
        self._open()
        folder = self._model_folder
        if len(draft.packed) < self._min_tokens * TOKEN_BYTES:
            return False
        folder.refresh()
        with folder.lock:
            generation = folder.generation
            entries = self._missing(draft)
            outdated = self._outdated(draft) if entries is not None else _NOTHING
            kept = {link.block_id for link in follow(draft.packed, [folder.table.blocks])}
            kept |= {each.entry_id for each in folder.table.states_at(draft.packed)}
        if entries is None or not self._has_room(entries, kept):
            return False
        for entry in entries:
            if not self._put(entry, generation, throttle):
                return False
        folder.remove(outdated)
        if entries:
            self._after_write(draft)
        return bool(entries)

    def _missing(self, draft: SnapshotDraft) -> list[EntryDraft] | None:
        """Return the entries that the disk lacks; None where they would be of no use."""
        table, snapshot = self._model_folder.table, draft.snapshot
        spans = missing_spans(draft.packed, snapshot, table.blocks, self._max_block_bytes)
        if spans is None and not self._is_whole(draft):
            return None
        rows = SnapshotRows(snapshot)
        entries = [self._block(draft, rows, span) for span in spans or []]
        if snapshot.state is not None and table.get(id_of(draft.packed, draft.form)) is None:
            start = 0 if spans is None else snapshot.n_tokens
            entries.append(self._state(draft, snapshot, start))
        if draft.profile and table.get(id_of(draft.packed, PIN_FORM)) is None:
            entries.append(self._pin(draft))
        if entries:
            at = max(0, len(spans or ()) - 1)  # the last block: later turns replace states
            at = at if entries[at].tokens == draft.packed else -1
            entries[at] = replace(entries[at], extra=draft.extra)
        return entries

    def _is_whole(self, draft: SnapshotDraft) -> bool:
        """Whether a state is one that needs no rows: it has none, and no block holds any."""
        has_rows = draft.snapshot.start < draft.snapshot.n_tokens
        is_held = bool(follow(draft.packed, [self._model_folder.table.blocks]))
        return draft.snapshot.state is not None and not has_rows and not is_held

    def _block(self, draft: SnapshotDraft, rows: SnapshotRows, span: Span) -> EntryDraft:
        return replace(
            self._entry(draft, rows.body(span)),
            kind="block",
            tokens=draft.packed[: span.end * TOKEN_BYTES],
            start=span.start,
            window_start=span.window_start,
            form="",
        )

    def _state(self, draft: SnapshotDraft, snapshot: Snapshot, start: int) -> EntryDraft:
        return replace(self._entry(draft, EntryBody(state=snapshot.state or b"")), start=start)

    def _pin(self, draft: SnapshotDraft) -> EntryDraft:
        return replace(
            self._entry(draft, EntryBody()), role="profile", profile=draft.profile, form=PIN_FORM
        )

    def _entry(self, draft: SnapshotDraft, body: EntryBody) -> EntryDraft:
        return EntryDraft(
            tokens=draft.packed,
            body=body,
            extra=b"",
            fingerprint=self._model_folder.expected.fingerprint,
            form=draft.form,
            role="boundary" if draft.profile else draft.role,
            profile="",
            created_s=draft.created_s,
        )

    def _outdated(self, draft: SnapshotDraft) -> frozenset[str]:
        is_there = self._model_folder.table.get(id_of(draft.packed, draft.form)) is not None
        if draft.drops_older and (is_there or draft.snapshot.state is not None):
            return self._older_turns(draft.packed, draft.form)
        return _NOTHING

    def _has_room(self, entries: Sequence[EntryDraft], kept: Collection[str]) -> bool:
        """Whether the day's budget and the space allow all of them; evict others for them.

        What is outdated then is not yet: if the process ends now, it is the latest there is.
        """
        n_bytes = sum(each.n_bytes() for each in entries)
        if n_bytes > self._room.capacity_bytes or not self._write_budget.allows(n_bytes):
            return False
        return not entries or self._room.make(n_bytes, kept=kept)

    def _after_write(self, draft: SnapshotDraft) -> None:
        folder = self._model_folder
        with folder.lock:
            links = follow(draft.packed, [folder.table.blocks])
            found = [folder.table.get(link.block_id) for link in links]
            states = folder.table.states_at(draft.packed)
            folder.mark_used([each for each in [*found, *states] if each is not None])
        if draft.profile:
            settle_pins(folder)
        folder.files.sync_folder(folder.folder)

    # ------------------------------------------------------------ files

    def _put(self, draft: EntryDraft, generation: int, throttle: Callable[[], None]) -> bool:
        is_block = draft.kind == "block"
        packed = draft.tokens
        its_id = block_id(packed, draft.start) if is_block else id_of(packed, draft.form)
        temporary = self._model_folder.folder / temporary_name(its_id)
        self._fill(temporary, draft, throttle)
        entry = self._entry_of(draft)
        return self._model_folder.put(temporary, entry, generation)

    def _entry_of(self, draft: EntryDraft) -> Entry:
        metadata = EntryMetadata(draft.header(), draft.tokens, draft.extra, draft.n_bytes())
        return entry_of(metadata, is_pinned=bool(draft.profile), used_s=draft.created_s)

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
