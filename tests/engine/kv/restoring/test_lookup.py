"""What of a prompt can be restored: rows up to there, window rows before it, a state at it."""

from __future__ import annotations

import pytest

from app.engine.kv.disk_tier import DISK, DiskCacheTier
from app.engine.kv.memory_store import MemoryState, MemoryStore
from app.engine.kv.restoring.lookup import LookUp
from app.promptcache import PrefixMatch, pack
from tests.engine.fake_disk import FakeStore, fake_disk
from tests.engine.fake_llama import shape_of
from tests.engine.kv.snapshots import snapshot_of

A = [number % 200 for number in range(100)]


def tiers(**shape: object) -> tuple[LookUp, MemoryStore, FakeStore]:
    of = shape_of(**shape)  # type: ignore[arg-type]
    disk, on_disk = fake_disk()
    store = MemoryStore(100_000, of)
    return LookUp(of, store, DiskCacheTier(disk, of)), store, on_disk


def test_rows_without_a_window_serve_up_to_the_token_where_a_prompt_leaves_them() -> None:
    look_up, store, _ = tiers()
    store.put(pack(A), snapshot_of(A))
    plan = look_up.in_memory([*A[:70], 255])
    assert (plan.n_tokens, plan.n_matched, plan.tier) == (70, 70, "memory")


def test_memory_and_disk_make_up_one_prefix() -> None:
    look_up, store, on_disk = tiers()
    store.put(pack(A[:64]), snapshot_of(A[:64]))
    on_disk.put(A, snapshot_of(A))
    plan = look_up.anywhere(A)
    assert [link.tier for link in plan.links] == [0, DISK]
    assert (plan.n_tokens, plan.tier) == (100, "disk")
    assert plan.n_disk_bytes == 100
    assert look_up.in_memory(A).n_tokens == 64
    assert look_up.on_disk(A).n_tokens == 100


@pytest.mark.parametrize("n_prompt", [100, 90, 81])
def test_with_a_window_the_rows_before_the_end_have_to_be_there(n_prompt: int) -> None:
    look_up, store, _ = tiers(n_window=20)
    store.put(pack(A[:60]), snapshot_of(A[:60], n_window=20))
    store.put(pack(A), snapshot_of(A, 32, n_window=20))
    assert look_up.in_memory(A).n_tokens == 100
    assert look_up.in_memory([*A[:n_prompt], 255]).n_tokens in (60, n_prompt)
    assert look_up.in_memory([*A[:59], 255]).n_matched == 59


def test_window_rows_are_read_only_where_the_window_reaches() -> None:
    look_up, _, on_disk = tiers(n_window=20)
    on_disk.put(A[:64], snapshot_of(A[:64], n_window=64))
    on_disk.put(A, snapshot_of(A, 64, n_window=36))
    plan = look_up.anywhere(A)
    assert [plan.needs_window(link) for link in plan.links] == [False, True]
    assert plan.window_from == 80
    assert plan.n_disk_bytes == 100 + 2 * 36
    shorter = look_up.anywhere([*A[:80], 255])
    assert [shorter.needs_window(link) for link in shorter.links] == [True, True]
    assert shorter.n_disk_bytes == 100 + 2 * 100


def test_a_state_is_needed_where_layers_are_recurrent() -> None:
    look_up, store, on_disk = tiers(can_cut=False)
    store.put(pack(A), snapshot_of(A))
    store.put(pack(A[:40]), snapshot_of(A[:40], 40, with_state=True))
    plan = look_up.in_memory(A)
    assert isinstance(plan.state, MemoryState)
    assert (plan.n_tokens, plan.n_matched) == (40, 100)
    on_disk.put(A[:90], snapshot_of(A[:90], 90, with_state=True))
    plan = look_up.anywhere(A)
    assert isinstance(plan.state, PrefixMatch)
    assert (plan.n_tokens, plan.tier) == (90, "disk")
    assert look_up.anywhere(A, {plan.state.entry_id}).n_tokens == 40


def test_a_state_without_rows_is_of_no_use() -> None:
    look_up, store, _ = tiers(can_cut=False)
    store.put(pack(A), snapshot_of(A, 100, with_state=True))
    assert look_up.in_memory([*A, 1]).n_tokens == 0


def test_a_whole_state_needs_no_rows() -> None:
    look_up, store, _ = tiers(is_whole=True)
    store.put(pack(A), snapshot_of(A, 100, with_state=True))
    plan = look_up.in_memory([*A, 1])
    assert (plan.n_tokens, plan.links) == (100, ())
    assert look_up.in_memory(A[:99]).n_tokens == 0
