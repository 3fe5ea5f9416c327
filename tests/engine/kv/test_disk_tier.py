"""The disk tier: nothing where there is no disk, and what was saved is found."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from app.engine.kv.disk_tier import DISK, Disk, DiskCacheTier, LogBuffer
from app.promptcache import DiskStore, DiskWriter, Link
from app.protocol import CacheCounts, KindCounts, LogLine
from tests.engine.fake_disk import FakeStore, FakeWriter, fake_disk
from tests.engine.fake_llama import shape_of
from tests.engine.kv.snapshots import snapshot_of

TOKENS = [1] * 20
SNAPSHOT = snapshot_of(TOKENS)


class LossyWriter(FakeWriter):
    """Says that it writes, and does not."""

    def submit(self, job: object) -> bool:
        return True


def is_pending(tier: DiskCacheTier) -> bool:
    """Ask anew each time, which a type checker takes a property not to need."""
    return tier.has_pending


def test_without_a_disk_nothing_is_found_and_nothing_has_to_be_written() -> None:
    tier = DiskCacheTier(trouble="the folder is in use")
    assert not tier.is_on
    assert not tier.has_entries
    assert tier.chain(TOKENS, None) == []
    assert tier.states(TOKENS) == []
    assert tier.tokens_like(TOKENS) is None
    assert tier.save(TOKENS, SNAPSHOT, "turn") is None
    assert tier.clear() == (0, 0)
    assert tier.entries() == []
    assert tier.fill(CacheCounts()).trouble == "the folder is in use"


def test_what_was_saved_is_found_and_read() -> None:
    tier = DiskCacheTier(fake_disk()[0], shape_of())
    save = tier.save(TOKENS, SNAPSHOT, "turn")
    assert save is not None
    assert (save.is_done, save.is_there) == (True, True)
    (link,) = tier.chain([*TOKENS, 2], None)
    assert (link.tier, link.start, link.end) == (DISK, 0, 20)
    content = tier.read_block(link.block_id)
    assert content is not None
    assert list(content.rows) == TOKENS
    assert tier.tokens_like([7]) == TOKENS, "the newest where none is alike"
    tier.mark_used([link, Link(0, "memory's", 20, 21)])


def test_a_state_is_there_only_with_its_rows() -> None:
    tier = DiskCacheTier(fake_disk()[0], shape_of(can_cut=False))
    without = tier.save(TOKENS, snapshot_of(TOKENS), "turn")
    assert without is not None
    assert not without.is_there
    whole = tier.save(TOKENS, snapshot_of(TOKENS, len(TOKENS), with_state=True), "turn")
    assert whole is not None
    assert whole.is_there
    assert [found.n_tokens for found in tier.states([*TOKENS, 1])] == [20]


def test_what_was_not_written_is_not_there() -> None:
    store = FakeStore(dice=None)
    disk = Disk(cast(DiskStore, store), cast(DiskWriter, LossyWriter(store, None)))
    save = DiskCacheTier(disk, shape_of()).save(TOKENS, SNAPSHOT, "turn")
    assert save is not None
    assert (save.is_done, save.is_there) == (True, False)


def test_writes_are_counted_when_they_are_done() -> None:
    tier = DiskCacheTier(fake_disk()[0], shape_of())
    tier.save(TOKENS, SNAPSHOT, "turn")
    assert is_pending(tier)
    tier.count_written()
    assert not is_pending(tier)
    assert tier.fill(CacheCounts()).disk_saves == 1


def test_blocks_and_states_are_told_apart() -> None:
    tier = DiskCacheTier(fake_disk()[0], shape_of(can_cut=False))
    tier.save(TOKENS, SNAPSHOT, "turn")
    longer = [*TOKENS, *[2] * 20]
    tier.save(longer, snapshot_of(longer, 32, with_state=True), "turn")
    told = [(entry.kind, entry.start, entry.tokens) for entry in tier.entries()]
    assert told == [("block", 0, 20), ("block", 32, 40), ("state", 40, 40)]
    kinds = KindCounts(blocks=2, block_bytes=28, states=1, state_bytes=64)
    assert tier.fill(CacheCounts()).disk_kinds == kinds


def test_a_pin_is_neither_a_block_nor_a_state(tmp_path: Path) -> None:
    store = DiskStore(
        tmp_path, "a.gguf", "f" * 32, capacity_bytes=2**20, can_cut=False, notify=lambda *_: None
    )
    tokens = [1] * 40
    assert store.write_snapshot(tokens, snapshot_of(tokens), role="profile", profile="kitchen")
    tier = DiskCacheTier(Disk(store, cast(DiskWriter, FakeWriter(FakeStore(dice=None), None))))
    told = {(entry.kind, entry.profile) for entry in tier.entries()}
    assert ("block", "kitchen") in told
    assert {kind for kind, _ in told} <= {"block", "pin"}
    assert tier.fill(CacheCounts()).disk_kinds.states == 0


def test_the_extra_of_tokens_is_made_when_they_are_saved() -> None:
    disk, _ = fake_disk()
    extras: list[list[int]] = []

    def extra_of(tokens: object) -> bytes:
        extras.append(list(cast(list[int], tokens)))
        return b"extra"

    DiskCacheTier(disk, shape_of(), extra_of=extra_of).save(TOKENS, SNAPSHOT, "turn")
    assert extras == [TOKENS]


def test_profiles_keep_their_own_entries() -> None:
    disk, store = fake_disk()
    tier = DiskCacheTier(disk, shape_of())
    tier.save(TOKENS, SNAPSHOT, "profile", "support")
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


def test_a_profile_is_there_once_it_is_pinned(tmp_path: Path) -> None:
    store = DiskStore(
        tmp_path, "a.gguf", "f" * 32, capacity_bytes=2**20, can_cut=False, notify=lambda *_: None
    )
    tokens = [1] * 40
    assert store.write_snapshot(tokens, snapshot_of(tokens), role="turn")
    writer = LossyWriter(FakeStore(dice=None), None)
    tier = DiskCacheTier(Disk(store, cast(DiskWriter, writer)), shape_of())
    asked = snapshot_of(tokens, len(tokens))
    turn = tier.save(tokens, None, "turn")
    profile = tier.save(tokens, asked, "profile", "kitchen")
    assert turn is not None
    assert profile is not None
    assert (turn.is_there, profile.is_there) == (True, False), "a profile could be evicted"
    assert store.write_snapshot(tokens, asked, role="profile", profile="kitchen")
    assert profile.is_there


def test_what_a_profile_needs_is_listed_as_the_profiles(tmp_path: Path) -> None:
    store = DiskStore(
        tmp_path, "a.gguf", "f" * 32, capacity_bytes=2**20, can_cut=False, notify=lambda *_: None
    )
    tokens = [1] * 40
    assert store.write_snapshot(tokens, snapshot_of(tokens), role="boundary")
    asked = snapshot_of(tokens, len(tokens))
    assert store.write_snapshot(tokens, asked, role="profile", profile="kitchen")
    other = [2] * 40
    assert store.write_snapshot(other, snapshot_of(other), role="boundary")
    tier = DiskCacheTier(Disk(store, cast(DiskWriter, FakeWriter(FakeStore(dice=None), None))))
    told = {(entry.role, entry.profile) for entry in tier.entries()}
    assert told == {("profile", "kitchen"), ("boundary", "")}
