"""Owns a disk in memory: entries are written at once, and some turn out bad."""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from typing import cast

from app.base.prefix import common_prefix
from app.engine.kv.disk_tier import Disk
from app.promptcache import (
    DiskStatus,
    DiskStore,
    DiskWriter,
    Entry,
    EntryContent,
    PrefixMatch,
    WriteJob,
)

MIN_TOKENS = 4


class FakeStore:
    """What the engine needs of a store.

    Args:
        can_cut: whether a restored state may lose its end.
        dice: decides which entries are bad when they are read.
    """

    def __init__(self, *, can_cut: bool, dice: random.Random | None) -> None:
        self.can_cut = can_cut
        self._dice = dice
        self.entries: dict[tuple[int, ...], bytearray] = {}
        self.profiles: set[str] = set()

    def find(self, tokens: list[int], *, skip: Collection[str] = ()) -> PrefixMatch | None:
        found = None
        for held in self.entries:
            if repr(held) in skip:
                continue
            shared = common_prefix(list(held), tokens)
            is_fit = shared >= MIN_TOKENS and (self.can_cut or shared == len(held))
            if is_fit and (found is None or shared > found.n_shared):
                found = PrefixMatch(repr(held), shared, len(held), len(held))
        return found

    def read(self, found: PrefixMatch) -> EntryContent | None:
        tokens = self.tokens_of(found)
        assert tokens is not None
        if self._dice and self._dice.random() < 0.2:
            del self.entries[tuple(tokens)]
            return None
        return EntryContent(tokens, bytearray(self.entries[tuple(tokens)]), b"")

    def tokens_of(self, found: PrefixMatch) -> list[int] | None:
        return next((list(held) for held in self.entries if repr(held) == found.entry_id), None)

    def newest_tokens(self) -> list[int] | None:
        return list(next(reversed(self.entries), ())) or None

    def fits(self, n_tokens: int, n_state_bytes: int) -> bool:
        return n_tokens >= MIN_TOKENS

    def covers(self, tokens: list[int]) -> bool:
        found = self.find(list(tokens))
        return found is not None and found.n_shared == len(tokens)

    def unpin_except(self, profiles: Mapping[str, Sequence[int] | None]) -> None:
        self.profiles = set(profiles)

    def clear(self) -> tuple[int, int]:
        n_entries = len(self.entries)
        self.entries.clear()
        return n_entries, n_entries

    def list_entries(self) -> list[Entry]:
        return []

    def status(self) -> DiskStatus:
        return DiskStatus(len(self.entries), 0, 0, 0, 0, 0, 0, 0, "")


class FakeWriter:
    """Writes at once what is long enough; whoever asks hears of it sooner or later."""

    pending = 0

    def __init__(self, store: FakeStore, dice: random.Random | None) -> None:
        self._store = store
        self._dice = dice

    def submit(self, job: WriteJob) -> bool:
        assert list(job.state) == job.tokens, "an entry is the state of its tokens"
        if len(job.tokens) >= MIN_TOKENS:
            self._store.entries[tuple(job.tokens)] = bytearray(job.state)
        return True

    def wait(self, job: WriteJob, timeout_s: float) -> bool:
        return self._dice is None or timeout_s > 0 or self._dice.random() < 0.5

    def close(self, timeout_s: float) -> int:
        return 0

    def unthrottle(self) -> None:
        pass

    def drop_waiting(self) -> None:
        pass


def fake_disk(*, can_cut: bool, dice: random.Random | None) -> tuple[Disk, FakeStore]:
    """Return a disk and what is on it."""
    store = FakeStore(can_cut=can_cut, dice=dice)
    return Disk(cast(DiskStore, store), cast(DiskWriter, FakeWriter(store, dice))), store
