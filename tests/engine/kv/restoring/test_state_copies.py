"""Snapshots are taken and restored byte for byte, from memory and disk together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest

from app.engine.kv.disk_tier import DiskCacheTier
from app.engine.kv.memory_store import MemoryStore
from app.engine.kv.restoring.lookup import LookUp
from app.engine.kv.restoring.state_copies import StateCopier, Unreadable
from app.engine.llama import BatchPart, Context
from app.promptcache import pack
from tests.engine.fake_disk import fake_disk
from tests.engine.fake_llama import KINDS, CellCache, shape_of, state_after
from tests.engine.kv.snapshots import snapshot_of

A = [number % 200 for number in range(100)]
SPARE = 2


class Setting:
    """A context of three sequences, and empty tiers."""

    def __init__(self, *, can_cut: bool = True, n_window: int = 0, is_whole: bool = False) -> None:
        self.shape = shape_of(can_cut=can_cut, n_window=n_window, is_whole=is_whole)
        self.cells = CellCache(1000, 1000, can_cut=can_cut, n_window=n_window, n_vocab=256)
        self.store = MemoryStore(100_000, self.shape)
        disk, self.on_disk = fake_disk()
        tier = DiskCacheTier(disk, self.shape)
        self.look_up = LookUp(self.shape, self.store, tier)
        context = cast(Context, self.cells)
        self.copier = StateCopier(context, self.shape, SPARE, self.store, tier)

    def prefill(self, tokens: list[int]) -> None:
        self.cells.decode([BatchPart(0, 0, tokens, 1)])


@pytest.mark.parametrize("kind", [{}, {"can_cut": False}, {"n_window": 20}])
def test_what_is_taken_in_pieces_is_restored_as_a_whole(kind: dict[str, int]) -> None:
    setting = Setting(**kind)  # type: ignore[arg-type]
    setting.prefill(A[:70])
    first = setting.copier.take(0, 70, 0, 70, with_state=True)
    setting.cells.decode([BatchPart(0, 70, A[70:], 1)])
    second = setting.copier.take(0, 100, 64, 100, with_state=True)
    assert first is not None
    assert second is not None
    setting.store.put(pack(A[:70]), first)
    setting.on_disk.put(A, second)
    plan = setting.look_up.anywhere(A)
    assert plan.n_tokens == 100
    assert setting.copier.load(1, plan)
    assert setting.cells.tokens(1) == A
    assert setting.cells.tokens(SPARE) == []


def test_a_state_is_taken_only_at_the_end_of_a_sequence() -> None:
    setting = Setting(can_cut=False)
    setting.prefill(A)
    assert setting.copier.take(0, 100, 0, 70, with_state=True) is None
    rows = setting.copier.take(0, 100, 0, 100, with_state=False)
    assert rows is not None
    assert rows.state is None
    state = setting.copier.take(0, 100, 100, 100, with_state=True)
    assert state is not None
    assert (state.start, bytes(state.rows), state.state) == (100, b"", state_after(A))


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_sequence_does_not_hold_is_not_taken(kind: str) -> None:
    setting = Setting(**KINDS[kind])
    setting.prefill(A[:70])
    start = 70 if setting.shape.is_whole else 0
    assert setting.copier.take(0, 100, 100, 100, with_state=True) is None
    assert setting.copier.take(0, 100, 64, 100, with_state=False) is None
    assert setting.copier.take(0, 70, start, 70, with_state=True) is not None


@pytest.mark.parametrize("kind", KINDS)
def test_a_sequence_that_holds_more_than_is_known_has_rows_but_no_state(kind: str) -> None:
    setting = Setting(**KINDS[kind])
    setting.prefill(A)
    for start in (0, 70):
        taken = setting.copier.take(0, 70, start, 70, with_state=True)
        if setting.shape.needs_state:
            assert taken is None
        else:
            assert taken is not None
            assert bytes(taken.rows) == bytes(A[start:70])


def test_what_is_gathered_from_memory_is_what_was_put_there() -> None:
    setting = Setting(n_window=20)
    setting.store.put(pack(A[:70]), snapshot_of(A[:70], n_window=20))
    setting.store.put(pack(A), snapshot_of(A, 64, n_window=20))
    snapshot = setting.copier.gather(setting.look_up.in_memory(A), 32)
    assert snapshot is not None
    assert bytes(snapshot.rows) == bytes(A[32:])
    assert snapshot.window_start == 80
    assert bytes(snapshot.window_rows) == bytes(t for t in A[80:] for _ in range(2))


def test_nothing_is_gathered_from_the_disk() -> None:
    setting = Setting()
    setting.on_disk.put(A, snapshot_of(A))
    assert setting.copier.gather(setting.look_up.anywhere(A), 0) is None


def test_a_block_that_is_gone_is_told() -> None:
    setting = Setting()
    setting.on_disk.put(A, snapshot_of(A))
    plan = setting.look_up.anywhere(A)
    setting.on_disk.blocks.clear()
    with pytest.raises(Unreadable):
        setting.copier.load(1, plan)


def test_where_there_is_no_room_nothing_is_restored() -> None:
    setting = Setting()
    setting.cells.n_cells = 50
    setting.store.put(pack(A), snapshot_of(A))
    assert not setting.copier.load(1, setting.look_up.in_memory(A))


def test_a_state_or_rows_of_another_size_are_told_like_damaged_ones() -> None:
    setting = Setting(can_cut=False)
    setting.on_disk.put(A, snapshot_of(A, with_state=True))
    plan = setting.look_up.anywhere(A)
    (its_id,) = setting.on_disk.at_ends
    setting.on_disk.at_ends[its_id] = pack(A), b"short"
    with pytest.raises(Unreadable):
        setting.copier.load(1, plan)


def test_a_block_that_left_memory_while_room_was_made_is_told() -> None:
    setting = Setting()
    setting.store.put(pack(A), snapshot_of(A))
    plan = setting.look_up.in_memory(A)
    setting.store.drop(setting.store.blocks())
    with pytest.raises(Unreadable):
        setting.copier.load(1, plan)
    setting.store.mark_used(plan.links)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "is_whole" not in KINDS[kind]])
@pytest.mark.parametrize("part", ["rows", "window_rows", "state"])
@pytest.mark.parametrize("share", [0, 0.5, 0.995, 1.5, 2])
def test_parts_of_another_size_are_told_like_damaged_ones(
    kind: str, part: str, share: float
) -> None:
    setting = Setting(**KINDS[kind])
    setting.prefill(A)
    snapshot = setting.copier.take(0, 100, 0, 100, with_state=True)
    assert snapshot is not None
    data = bytes(getattr(snapshot, part) or b"")
    other: Any = (2 * data)[: int(share * len(data))]
    changed = replace(snapshot, **{part: other})
    setting.on_disk.put(A, snapshot)
    plan = setting.look_up.anywhere(A)
    blocks, at_ends = setting.on_disk.blocks, setting.on_disk.at_ends
    if part == "state" and at_ends:
        at_ends.update(dict.fromkeys(at_ends, (pack(A), other)))
    else:
        blocks.update(dict.fromkeys(blocks, (pack(A), changed)))
    if data:
        with pytest.raises(Unreadable):
            setting.copier.load(1, plan)
        assert setting.cells.tokens(1) == []
    else:
        assert setting.copier.load(1, plan), "this kind has no such part"
