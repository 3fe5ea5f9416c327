"""The disk tier: nothing where there is no disk, each entry once, and what was refused again."""

from __future__ import annotations

from typing import cast

from app.engine.kv.disk_tier import Disk, DiskCacheTier, LogBuffer
from app.engine.kv.memory_store import MemoryEntry
from app.promptcache import DiskStore, DiskWriter
from app.protocol import CacheCounts, LogLine
from tests.engine.fake_disk import FakeStore, FakeWriter, fake_disk

TOKENS = [1] * 20
STATE = bytearray(TOKENS)


class LossyWriter(FakeWriter):
    """Says that it writes, and does not."""

    def submit(self, job: object) -> bool:
        return True


def tier_with(store: FakeStore, writer: FakeWriter) -> DiskCacheTier:
    return DiskCacheTier(Disk(cast(DiskStore, store), cast(DiskWriter, writer)))


def is_pending(tier: DiskCacheTier) -> bool:
    """Ask anew each time, which a type checker takes a property not to need."""
    return tier.has_pending


def test_without_a_disk_nothing_is_found_and_nothing_has_to_be_written() -> None:
    tier = DiskCacheTier(trouble="the folder is in use")
    assert not tier.is_on
    assert not tier.has_entries
    assert tier.find(TOKENS) is None
    assert tier.tokens_like(TOKENS) is None
    assert tier.save(TOKENS, STATE, "turn") is None
    assert tier.covers(TOKENS)
    assert not tier.fits(TOKENS, STATE)
    assert tier.clear() == (0, 0)
    assert tier.entries() == []
    assert tier.fill(CacheCounts()).trouble == "the folder is in use"


def test_an_entry_that_was_saved_is_found_and_read() -> None:
    tier = DiskCacheTier(fake_disk()[0])
    save = tier.save(TOKENS, STATE, "turn")
    assert save is not None
    assert (save.is_done, save.is_there) == (True, True)
    found = tier.find([*TOKENS, 2])
    assert found is not None
    content = tier.read(found)
    assert content is not None
    assert (content.tokens, content.state) == (TOKENS, STATE)
    assert tier.covers(TOKENS[:10])
    assert tier.tokens_like([7]) == TOKENS, "the newest where none is alike"


def test_writes_are_counted_when_they_are_done() -> None:
    tier = DiskCacheTier(fake_disk()[0])
    tier.save(TOKENS, STATE, "turn")
    assert is_pending(tier)
    tier.count_written()
    assert not is_pending(tier)
    assert tier.fill(CacheCounts()).disk_saves == 1


def test_the_extra_of_an_entry_is_made_from_its_tokens() -> None:
    store = FakeStore(can_cut=True, dice=None)
    writer = FakeWriter(store, None)
    disk = Disk(cast(DiskStore, store), cast(DiskWriter, writer))
    extras: list[list[int]] = []

    def extra_of(tokens: object) -> bytes:
        extras.append(list(cast(list[int], tokens)))
        return b"extra"

    DiskCacheTier(disk, extra_of=extra_of).save(TOKENS, STATE, "turn")
    assert extras == [TOKENS]


def test_an_entry_is_offered_once() -> None:
    disk, store = fake_disk()
    tier, entry = DiskCacheTier(disk), MemoryEntry(TOKENS, STATE)
    tier.offer(entry)
    assert tuple(TOKENS) in store.entries
    store.entries.clear()
    tier.offer(entry)
    assert not store.entries


def test_an_entry_that_the_disk_has_is_not_written_again() -> None:
    disk, store = fake_disk()
    tier = DiskCacheTier(disk)
    tier.offer(MemoryEntry([*TOKENS, 2], bytearray([*TOKENS, 2])))
    tier.offer(MemoryEntry(TOKENS, STATE))
    assert list(store.entries) == [(*TOKENS, 2)]


def test_offers_that_were_not_written_are_returned_once() -> None:
    store = FakeStore(can_cut=True, dice=None)
    tier, entry = tier_with(store, LossyWriter(store, None)), MemoryEntry(TOKENS, STATE)
    tier.offer(entry)
    assert tier.has_pending
    assert tier.take_refused() == [entry]
    assert tier.take_refused() == []


def test_profiles_keep_their_own_entries() -> None:
    disk, store = fake_disk()
    tier = DiskCacheTier(disk)
    tier.save(TOKENS, STATE, "profile", "support")
    tier.keep_profiles({"support", "sales"})
    assert store.profiles == {"support", "sales"}


def test_log_lines_are_taken_once_and_the_oldest_make_room() -> None:
    log = LogBuffer()
    tier = DiskCacheTier(log=log)
    assert not is_pending(tier)
    for number in range(40):
        log.add("warning", str(number))
    assert is_pending(tier)
    lines = tier.take_log_lines()
    assert lines[-1] == LogLine(level="warning", source="prompt cache", text="39")
    assert len(lines) == 32
    assert tier.take_log_lines() == []
