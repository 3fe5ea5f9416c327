"""Owns a disk in memory: what is written is there at once, and some of it turns out bad."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping, Sequence
from typing import cast

from app.engine.kv.disk_tier import Disk
from app.promptcache import (
    PAGE_TOKENS,
    BlockContent,
    BlockInfo,
    DiskStatus,
    DiskStore,
    DiskWriter,
    EndIndex,
    Entry,
    EntryContent,
    Link,
    PageIndex,
    PrefixMatch,
    Snapshot,
    WriteJob,
    follow,
    pack,
    unpack,
)
from app.promptcache.entry_header import Kind
from app.promptcache.token_bytes import TOKEN_BYTES
from tests.engine.fake_llama import state_after

MIN_TOKENS = 4


class FakeStore:
    """What the engine needs of a store.

    Args:
        dice: decides which blocks and states are bad when they are read.

    Attributes:
        is_broken: whether all are.
        written: what was to be written, in its order.
    """

    def __init__(self, *, dice: random.Random | None) -> None:
        self._dice = dice
        self.is_broken = False
        self.written: list[WriteJob] = []
        self._ids = map(str, itertools.count(1))
        self.clear()
        self.profiles: set[str] = set()

    def clear(self) -> tuple[int, int]:
        n_entries = len(getattr(self, "blocks", ())) + len(getattr(self, "at_ends", ()))
        self.blocks: dict[str, tuple[bytes, Snapshot]] = {}
        self.at_ends: dict[str, tuple[bytes, bytes]] = {}
        self.index, self.end_index = PageIndex(), EndIndex()
        return n_entries, n_entries

    @property
    def has_entries(self) -> bool:
        return bool(self.blocks or self.at_ends)

    def held(self) -> list[list[int]]:
        """Return the tokens of all blocks and states, from their beginning."""
        return [unpack(packed) for packed, _ in [*self.blocks.values(), *self.at_ends.values()]]

    def put(self, tokens: Sequence[int], snapshot: Snapshot) -> None:
        packed = pack(tokens)
        assert snapshot.n_tokens == len(tokens)
        if snapshot.start < snapshot.n_tokens:
            assert snapshot.start % PAGE_TOKENS == 0
            assert list(snapshot.rows) == list(tokens[snapshot.start :]), "rows of these tokens"
            block_id = next(self._ids)
            self.blocks[block_id] = packed, snapshot
            self.index.add(block_id, packed, snapshot.start, snapshot.window_start)
        if snapshot.state is not None:
            expected = (bytes(tokens), state_after(tokens))
            assert bytes(snapshot.state) in expected, "the state after these tokens"
            its_id = next(self._ids)
            self.at_ends[its_id] = packed, bytes(snapshot.state)
            self.end_index.add(its_id, packed)

    def chain(self, tokens: Sequence[int], memory: PageIndex | None = None) -> list[Link]:
        return follow(pack(tokens), [memory or PageIndex(), self.index])

    def ends(self, tokens: Sequence[int]) -> list[int]:
        packed = pack(tokens)
        led = [each for held, each in self.blocks.values() if packed.startswith(held)]
        ends = {each.n_tokens for each in led if each.window_start < each.n_tokens}
        return sorted(ends, reverse=True)

    def n_covered(self, tokens: Sequence[int]) -> int:
        links = self.chain(tokens, None)
        return links[-1].end if links else 0

    def states(self, tokens: Sequence[int]) -> list[PrefixMatch]:
        found = [(its_id, len(self.at_ends[its_id][0]) // 4) for its_id in self._leading(tokens)]
        return [PrefixMatch(its_id, n, n, n) for its_id, n in found]

    def _leading(self, tokens: Sequence[int]) -> list[str]:
        return list(self.end_index.prefixes_of(pack(tokens)))

    def has_state(self, tokens: Sequence[int], *, form: str = "") -> bool:
        if form:  # all writes pin
            return True
        return any(self.at_ends[its_id][0] == pack(tokens) for its_id in self._leading(tokens))

    def block(self, block_id: str) -> BlockInfo | None:
        if block_id not in self.blocks:
            return None
        _, snapshot = self.blocks[block_id]
        return BlockInfo(
            start=snapshot.start,
            end=snapshot.n_tokens,
            window_start=snapshot.window_start,
            n_bytes=len(snapshot.rows) + len(snapshot.window_rows),
            role="turn",
            profile="",
        )

    def _is_bad(self) -> bool:
        return self.is_broken or (self._dice is not None and self._dice.random() < 0.2)

    def read_block(self, block_id: str, *, with_window: bool = True) -> BlockContent | None:
        if block_id not in self.blocks:
            return None
        if self._is_bad():
            del self.blocks[block_id]
            self.index.remove(block_id)
            return None
        _, kept = self.blocks[block_id]
        window_start, window_rows = kept.window_start, kept.window_rows
        if not with_window:
            window_start, window_rows = kept.n_tokens, b""
        return BlockContent(kept.start, kept.n_tokens, kept.rows, window_start, window_rows)

    def read(self, found: PrefixMatch) -> EntryContent | None:
        if self._is_bad():
            del self.at_ends[found.entry_id]
            self.end_index.remove(found.entry_id)
            return None
        packed, state = self.at_ends[found.entry_id]
        return EntryContent(unpack(packed), bytearray(state), b"")

    def mark_used(self, block_ids: Sequence[str]) -> None:
        pass

    def block_tokens(self, block_id: str) -> list[int] | None:
        return unpack(self.blocks[block_id][0])

    def newest_tokens(self) -> list[int] | None:
        return next(reversed(self.held()), None)

    def unpin_except(self, profiles: Mapping[str, Sequence[int] | None]) -> None:
        self.profiles = set(profiles)

    def list_entries(self) -> list[Entry]:
        blocks = [
            _entry(its_id, "block", packed, kept.start)
            for its_id, (packed, kept) in self.blocks.items()
        ]
        return [*blocks, *(_entry(i, "state", packed) for i, (packed, _) in self.at_ends.items())]

    def status(self) -> DiskStatus:
        n_blocks, n_states = len(self.blocks), len(self.at_ends)
        return DiskStatus(
            n_entries=n_blocks + n_states,
            n_bytes=0,
            capacity_bytes=0,
            n_hits=0,
            n_bad=0,
            n_evicted=0,
            written_today_bytes=0,
            daily_write_bytes=0,
            write_error="",
            n_blocks=n_blocks,
            block_bytes=sum(len(kept.rows) for _, kept in self.blocks.values()),
            n_states=n_states,
            state_bytes=sum(len(state) for _, state in self.at_ends.values()),
        )


def _entry(its_id: str, kind: Kind, packed: bytes, start: int | None = None) -> Entry:
    """Return what a store says of one of its own; without `start`, it holds no rows."""
    n_tokens = len(packed) // TOKEN_BYTES
    return Entry(
        entry_id=its_id,
        kind=kind,
        form="",
        role="turn",
        profile="",
        is_pinned=False,
        is_anchor=False,
        tokens=packed,
        n_tokens=n_tokens,
        start=n_tokens if start is None else start,
        window_start=n_tokens,
        n_bytes=n_tokens,
        n_extra_bytes=0,
        created_s=0.0,
        last_used_s=0.0,
        touched_s=0.0,
    )


class FakeWriter:
    """Writes at once what is long enough; whoever asks hears of it sooner or later."""

    pending = 0

    def __init__(self, store: FakeStore, dice: random.Random | None) -> None:
        self._store = store
        self._dice = dice

    def submit(self, job: WriteJob) -> bool:
        self._store.written.append(job)
        if len(job.tokens) >= MIN_TOKENS:
            self._store.put(job.tokens, job.snapshot)
        return True

    def wait(self, job: WriteJob, timeout_s: float) -> bool:
        return self._dice is None or timeout_s > 0 or self._dice.random() < 0.5

    def close(self, timeout_s: float) -> int:
        return 0

    def unthrottle(self) -> None:
        pass

    def drop_waiting(self) -> None:
        pass


def fake_disk(*, dice: random.Random | None = None) -> tuple[Disk, FakeStore]:
    """Return a disk and what is on it."""
    store = FakeStore(dice=dice)
    return Disk(cast(DiskStore, store), cast(DiskWriter, FakeWriter(store, dice))), store
