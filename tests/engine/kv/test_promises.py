"""What a request was promised is there, or is known to be gone, whatever had to move for it.

Covers `app.engine.kv.kv_cache` where memory and the KV cache are full.
"""

from __future__ import annotations

import pytest

from app.engine.kv.sequences import Slot
from app.engine.llama import BatchPart
from app.promptcache import pack
from tests.engine.fake_llama import KINDS
from tests.engine.kv.snapshots import snapshot_of
from tests.engine.kv.test_kv_cache import Bench

A, B, C = [1] * 40, [2] * 40, [3] * 40
LONG = [*A, *[5] * 60]


def prefill(bench: Bench, tokens: list[int]) -> Slot:
    """Start a request that finds nothing beside others, and prefill it."""
    lease = bench.pool.lease(tokens)
    assert lease is not None
    assert bench.kv_cache.restore_prefix(lease, tokens[:-1]).n_tokens == 0
    bench.cells.decode([BatchPart(lease.slot.seq_id, 0, tokens, 1)])
    lease.slot.tokens = list(tokens)
    return lease.slot


@pytest.mark.parametrize("kind", KINDS)
def test_what_leaves_memory_while_it_is_restored_comes_from_the_disk(kind: str) -> None:
    bench = Bench(n_sequences=3, n_cells=100, **KINDS[kind])
    bench.run(A)
    bench.save_idle()
    bench.kv_cache.drop_saved()
    store = bench.kv_cache.store
    store.capacity_bytes = store.n_bytes + 170  # another like it takes its place
    bench.begin(C)
    bench.pool.release(prefill(bench, B))
    hit, _ = bench.begin([*A, 6, 6])
    assert hit.n_tokens == len(A)
    assert not bench.kv_cache.keeper.is_restorable(A)


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_shared_sequence_held_is_known_to_be_gone_once_it_moved_out(kind: str) -> None:
    bench = Bench(n_sequences=3, n_cells=130, **KINDS[kind])
    bench.run(LONG)
    bench.save_idle()
    bench.kv_cache.drop_saved()
    bench.begin(C)
    other = bench.pool.lease([*A, 7, 7])
    assert other is not None
    bench.cells.decode([BatchPart(other.slot.seq_id, 0, [*A, 7, 7], 1)])
    other.slot.tokens = [*A, 7, 7]
    bench.pool.release(other.slot)
    bench.cells.n_cells = 100
    lease = bench.pool.lease([*LONG, 9])
    assert lease is not None
    assert lease.source is other.slot
    hit = bench.kv_cache.restore_prefix(lease, LONG)
    assert (hit.n_tokens, hit.not_restored) == (0, "no_room")
    assert bench.cells.tokens(lease.slot.seq_id) == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("start", [0, 64])
def test_a_leased_sequence_is_taken_for_what_it_holds_until_that_is_saved(
    kind: str, start: int
) -> None:
    """What it is to share with another one is looked for in that one."""
    shared, displaced = LONG, [2] * len(LONG)
    bench = Bench(n_sequences=2, **KINDS[kind])
    first = prefill(bench, C)
    prefill(bench, shared)
    bench.pool.release(first)
    bench.save_idle()
    bench.pool.release(prefill(bench, displaced))
    store = bench.kv_cache.store
    store.clear()
    if not bench.shape.is_whole:  # a part of it, which no prompt can be restored from
        store.put(pack(shared), snapshot_of(shared, start, n_window=bench.shape.n_window))
    # the displaced conversation has room there alone
    state_bytes = bench.shape.state_bytes + 4 * len(displaced) if bench.shape.needs_state else 0
    store.capacity_bytes = bench.shape.row_bytes(100) + 8 * len(displaced) + state_bytes
    lease = bench.pool.lease([*shared, 9, 9])
    assert lease is not None
    assert (lease.displaced, lease.n_keep) == (displaced, len(shared))
    hit = bench.kv_cache.restore_prefix(lease, [*shared, 9])
    assert hit.n_tokens == len(shared)
    assert bench.cells.tokens(lease.slot.seq_id) == shared
    kept = [bytes(job.snapshot.rows) for job in bench.on_disk.written if job.tokens == shared]
    assert all(rows == bytes(shared[-len(rows) :]) for rows in kept)


@pytest.mark.parametrize("kind", KINDS)
def test_a_leased_sequence_whose_conversation_is_saved_stands_for_nothing(kind: str) -> None:
    """It is to share with another one, and idle ones are saved before that."""
    bench = Bench(n_sequences=3, n_cells=2000, **KINDS[kind])
    displaced, long, idle = [2] * len(LONG), [*LONG, *[5] * 400], [7] * len(LONG)
    for slot in [prefill(bench, tokens) for tokens in (displaced, long, idle)]:
        bench.pool.release(slot)
    store, n_window = bench.kv_cache.store, bench.shape.n_window
    if not bench.shape.is_whole:
        store.put(pack(LONG), snapshot_of(LONG, 64, n_window=n_window))
    # room for one more conversation beside that, and for `long` never
    state_bytes = bench.shape.state_bytes + 4 * len(displaced) if bench.shape.needs_state else 0
    room = bench.shape.row_bytes(100) + 8 * len(displaced) + state_bytes
    store.capacity_bytes = store.n_bytes + room
    lease = bench.pool.lease([*LONG, 9, 9])
    assert lease is not None
    assert (lease.displaced, lease.n_keep) == (displaced, len(LONG))
    bench.kv_cache.restore_prefix(lease, [*LONG, 9])
    kept = [bytes(job.snapshot.rows) for job in bench.on_disk.written if job.tokens == LONG]
    assert all(rows == bytes(LONG[-len(rows) :]) for rows in kept)
    assert [block for block in store.blocks() if block.packed == pack(LONG)] == []


def test_a_lone_request_that_takes_cells_over_goes_on_in_them() -> None:
    bench = Bench()
    bench.run([*A, 5])
    (cells,) = [held[: len(A)] for held in bench.cells.sequences.values() if held]
    hit, slot = bench.begin([*A, 6, 6])
    assert hit.n_tokens == len(A)
    assert bench.cells.sequences[slot.seq_id][: len(A)] == cells, "not copies from memory"
    assert slot.is_clean


def test_whole_states_of_a_long_prefill_are_written_a_few_times_only() -> None:
    for n_ctx, n_tokens in ((1000, 512), (8192, 2048)):
        bench = Bench(n_cells=n_ctx, **KINDS["is kept as a whole"])
        assert bench.kv_cache.n_progress() == n_tokens


@pytest.mark.parametrize("kind", KINDS)
def test_a_head_that_a_long_prefill_ends_in_is_written_as_a_head(kind: str) -> None:
    bench = Bench(n_sequences=1, **KINDS[kind])
    slot = prefill(bench, LONG)
    slot.n_head = len(LONG)
    bench.kv_cache.save_now(slot, to_disk=True)
    (job,) = bench.on_disk.written
    assert (job.tokens, job.role, job.drops_older) == (LONG, "boundary", False)
