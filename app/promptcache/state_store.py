"""Owns the entries of one model on the disk that are found by prefix, and what all entries share.

It must know nothing of llama.cpp or requests.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from app.promptcache.entries import PIN_FORM, Entry
from app.promptcache.entries.prefix_index import BLOCK_TOKENS
from app.promptcache.entry_header import EntryBody, EntryDraft, Role
from app.promptcache.files import Files
from app.promptcache.folder_scan import Expected
from app.promptcache.folders import folder_name
from app.promptcache.model_folder import ModelFolder
from app.promptcache.records import (
    DiskStatus,
    EntryContent,
    PrefixMatch,
)
from app.promptcache.snapshot import Bytes
from app.promptcache.token_bytes import pack, unpack
from app.promptcache.writing.entry_writer import EntryWriter
from app.promptcache.writing.room import Room
from app.promptcache.writing.snapshot_plan import MAX_BLOCK_BYTES
from app.promptcache.writing.write_budget import WriteBudget
from app.promptcache.writing.write_errors import WriteErrors


def do_nothing() -> None:
    """Serve as the throttle of a write that nothing slows down."""


class StateStore:
    """The entries of one model, in a folder of its own below the root that all models share.

    All methods may be called from any thread; none waits for another one's state to be read or
    written, except that writes wait for each other. Nothing raises because of the disk: what
    cannot be read is a miss, what cannot be written is not kept, and `notify` gets a sentence.
    Blocks hold rows of attention state, and states what else a prompt needs; both are entries.
    Their tokens are in memory, of blocks those of their own rows: about 16 bytes a token, the
    index included.

    Args:
        root: folder of the cache.
        model_folder: name of the model's folder; made safe by `folder_name`.
        fingerprint: names the model, its context parameters and the llama.cpp build; entries
            with another one are removed.
        capacity_bytes: what the entries of all models may take.
        daily_write_bytes: what may be written a day; 0 is no limit.
        can_cut: whether a restored state may lose its end; where it may not (recurrent models),
            an entry serves only prompts that begin with all of it.
        min_tokens: a shorter shared prefix is no hit, a shorter list is not kept; at least
            `BLOCK_TOKENS`.
        max_block_bytes: rows that one block may have; it has one page at least.
        row_bytes: sizes of a row and of a window row; blocks with others are bad. None for any.
        notify: gets a level (`info`, `warning`) and a sentence.
        clock: seconds since the epoch.
        files: the system calls.
    """

    def __init__(
        self,
        root: Path,
        model_folder: str,
        fingerprint: str,
        *,
        capacity_bytes: int,
        daily_write_bytes: int = 0,
        can_cut: bool = True,
        min_tokens: int = BLOCK_TOKENS,
        max_block_bytes: int = MAX_BLOCK_BYTES,
        row_bytes: tuple[int, int] | None = None,
        notify: Callable[[str, str], None],
        clock: Callable[[], float] = time.time,
        files: Files | None = None,
    ) -> None:
        self.can_cut = can_cut
        self._min_tokens = max(min_tokens, BLOCK_TOKENS)
        self._daily_write_bytes = daily_write_bytes
        self._clock = clock
        self._n_hits = 0
        self._write_budget = WriteBudget(root, daily_write_bytes, clock)
        self._write_errors = WriteErrors(notify, clock)
        self._model_folder = ModelFolder(
            root / folder_name(model_folder),
            Expected(fingerprint, capacity_bytes, row_bytes),
            can_cut=can_cut,
            notify=notify,
            clock=clock,
            files=files or Files(),
        )
        self._room = Room(root, self._model_folder, capacity_bytes)
        self._writer = EntryWriter(
            self._model_folder,
            self._room,
            self._write_budget,
            self._write_errors,
            min_tokens=self._min_tokens,
            max_block_bytes=max_block_bytes,
        )
        self._writer.open()

    def find(
        self, tokens: Sequence[int], *, form: str = "", skip: Collection[str] = ()
    ) -> PrefixMatch | None:
        """Return the entry that saves a prompt the most prefill, None where none saves enough.

        Args:
            skip: ids of entries that are of no use to the caller.
        """
        packed = pack(tokens)
        self._model_folder.refresh()
        with self._model_folder.lock:
            best = self._model_folder.table.best(packed, form, skip)
            if best is None or best[1] < self._min_tokens:
                return None
            entry, n_shared = best
            return PrefixMatch(entry.entry_id, n_shared, entry.n_tokens, entry.n_bytes)

    def fits(self, n_tokens: int, n_state_bytes: int) -> bool:
        """Whether an entry of this size is neither too short nor too large to be kept."""
        return n_tokens >= self._min_tokens and n_state_bytes < self._room.capacity_bytes

    def covers(self, tokens: Sequence[int], *, form: str = "") -> bool:
        """Whether an entry can serve in the place of one of these tokens."""
        packed = pack(tokens)
        with self._model_folder.lock:
            return bool(self._model_folder.table.covering(packed, form))

    def read(self, found: PrefixMatch) -> EntryContent | None:
        """Return an entry's content.

        Returns:
            None where it is gone or bad; a second `find` gives the next best one. (None also
            where the memory does not suffice.)
        """
        with self._model_folder.lock:
            entry = self._model_folder.table.get(found.entry_id)
        content = None if entry is None else self._model_folder.read(entry)
        if entry is None or content is None:
            return None
        with self._model_folder.lock:
            self._n_hits += 1
        self._model_folder.mark_used([entry])
        metadata, body = content
        return EntryContent(unpack(metadata.tokens), body.state, metadata.extra)

    def write(
        self,
        tokens: Sequence[int],
        state: Bytes,
        *,
        extra: bytes = b"",
        role: Role = "turn",
        profile: str = "",
        form: str = "",
        replaces: bool = False,
        throttle: Callable[[], None] = do_nothing,
    ) -> bool:
        """Keep an entry.

        Args:
            tokens: what the state holds, from position 0.
            state: opaque bytes; not to be changed while this runs.
            extra: opaque bytes, up to `entry_header.MAX_EXTRA_BYTES`.
            role: what the tokens are; with a profile always `profile`.
            profile: pins the entry for a profile: it is not evicted.
            form: what kind of state it is; kinds never meet.
            replaces: whether the turns that this turn goes on from are of no more use.
            throttle: called after each piece of work; may sleep.

        Returns:
            False where nothing was written: too short, there already, too large, the day's
            writes used up, no room besides pinned entries, cleared meanwhile, or the disk fails.

        Raises:
            ValueError: a part is larger than the format allows.
        """
        draft = EntryDraft(
            tokens=pack(tokens),
            body=EntryBody(state=state),
            extra=extra,
            fingerprint=self._model_folder.expected.fingerprint,
            form=form,
            role="profile" if profile else role,
            profile=profile,
            created_s=self._clock(),
        )
        return self._writer.write(draft, replaces=replaces, throttle=throttle)

    # ------------------------------------------------------------ all entries

    def set_capacity(self, capacity_bytes: int) -> None:
        """Change what the entries of all models may take, from the next write on."""
        self._room.capacity_bytes = capacity_bytes
        self._model_folder.expected = replace(
            self._model_folder.expected, most_bytes=capacity_bytes
        )

    def unpin_except(self, profiles: Mapping[str, Sequence[int] | None]) -> None:
        """Make the entries that are pinned for anything else ordinary ones.

        Args:
            profiles: the tokens of each; None stands for whatever it has.
        """
        packed = {
            name: None if tokens is None else pack(tokens) for name, tokens in profiles.items()
        }
        self._model_folder.unpin_except(packed)

    def clear(self) -> tuple[int, int]:
        """Remove all entries of this model; a write in progress comes to nothing.

        Returns:
            The number of entries removed and their bytes.
        """
        return self._model_folder.clear()

    @property
    def has_entries(self) -> bool:
        """Whether there are any."""
        with self._model_folder.lock:
            return len(self._model_folder.table) > 0

    def list_entries(self) -> list[Entry]:
        """Return all entries, the most recently used one first."""
        with self._model_folder.lock:
            return self._model_folder.table.newest_first()

    def tokens_of(self, found: PrefixMatch) -> list[int] | None:
        """Return all tokens of an entry, None where it is gone."""
        with self._model_folder.lock:
            entry = self._model_folder.table.get(found.entry_id)
        return None if entry is None else unpack(entry.tokens)

    def newest_tokens(self, *, form: str = "") -> list[int] | None:
        """Return the tokens of the most recently used entry, None where there is none."""
        with self._model_folder.lock:
            newest = self._model_folder.table.newest(form)
        return None if newest is None else self._tokens(newest)

    def block_tokens(self, block_id: str) -> list[int] | None:
        """Return all tokens up to the end of a block, None where it is gone."""
        with self._model_folder.lock:
            entry = self._model_folder.table.get(block_id)
        return None if entry is None else self._tokens(entry)

    def _tokens(self, entry: Entry) -> list[int] | None:
        if entry.kind == "state":
            return unpack(entry.tokens)
        metadata = self._model_folder.read_metadata(entry)
        return None if metadata is None else unpack(metadata.tokens)

    def extras(self, limit: int, *, form: str = "") -> list[tuple[list[int], bytes]]:
        """Return tokens and extra of the most recently used entries that have an extra."""
        with_extra = [
            each
            for each in self.list_entries()
            if each.n_extra_bytes and each.form in (form, form or PIN_FORM)
        ]
        read = map(self._model_folder.read_metadata, with_extra[:limit])
        return [(unpack(each.tokens), each.extra) for each in read if each is not None]

    def status(self) -> DiskStatus:
        """Return figures on the store."""
        with self._model_folder.lock:
            entries = list(self._model_folder.table)
        blocks = [each.n_bytes for each in entries if each.kind == "block"]
        states = [
            each.n_bytes for each in entries if each.kind == "state" and each.form != PIN_FORM
        ]
        return DiskStatus(
            n_entries=len(entries),
            n_bytes=sum(each.n_bytes for each in entries),
            capacity_bytes=self._room.capacity_bytes,
            n_hits=self._n_hits,
            n_bad=self._model_folder.n_bad,
            n_evicted=self._room.n_evicted,
            written_today_bytes=self._write_budget.written_today,
            daily_write_bytes=self._daily_write_bytes,
            write_error=self._write_errors.write_error,
            n_blocks=len(blocks),
            block_bytes=sum(blocks),
            n_states=len(states),
            state_bytes=sum(states),
        )
