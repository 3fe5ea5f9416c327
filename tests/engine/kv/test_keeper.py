"""What is kept of sequences: in memory once, on the disk what it lacks, heads as heads."""

from __future__ import annotations

import pytest

from app.engine.kv.keeper import Keeper
from app.engine.llama import BatchPart
from app.promptcache import pack
from tests.engine.fake_llama import KINDS, state_after
from tests.engine.kv.snapshots import snapshot_of
from tests.engine.kv.test_kv_cache import Bench

A, B = [1] * 40, [2] * 40


def keeper_of(bench: Bench) -> Keeper:
    return bench.kv_cache.keeper


def test_what_memory_restores_is_saved() -> None:
    bench = Bench()
    bench.run(A)
    assert not keeper_of(bench).is_restorable(A)
    bench.save_idle()
    assert keeper_of(bench).is_restorable(A)
    assert keeper_of(bench).is_restorable(A[:20])
    assert not keeper_of(bench).is_restorable([*A, 1])


def test_a_conversation_waits_for_the_disk_once_where_it_ended_last() -> None:
    bench = Bench(n_sequences=1)
    for tokens in (A, [*A, *B]):
        bench.run(tokens)
        bench.save_idle()
    assert [end.tokens.tolist() for end in keeper_of(bench).ends] == [[*A, *B]]


def test_the_disk_gets_what_it_lacks() -> None:
    bench = Bench()
    bench.put_on_disk(A)
    bench.run([*A, *B])
    bench.save_idle()
    snapshot = keeper_of(bench).snapshot([*A, *B])
    assert snapshot is not None
    assert (snapshot.start, snapshot.n_tokens) == (32, 80)
    assert list(snapshot.rows) == [*A, *B][32:]


def test_a_snapshot_is_of_exactly_the_tokens() -> None:
    bench = Bench(n_sequences=1)
    bench.run(A)
    for is_in_memory in (False, True):
        if is_in_memory:
            bench.save_idle()
            bench.run(B)
        for n_tokens in (len(A), 25):
            snapshot = keeper_of(bench).snapshot(A[:n_tokens])
            assert snapshot is not None
            assert list(snapshot.rows) == A[:n_tokens]
        assert keeper_of(bench).snapshot([9] * 20) is None


def test_a_snapshot_with_a_state_is_that_of_a_whole_sequence() -> None:
    bench = Bench(can_cut=False)
    bench.run(A)
    whole = keeper_of(bench).snapshot(A)
    assert whole is not None
    assert whole.state == state_after(A)
    assert keeper_of(bench).snapshot(A[:20]) is None


def test_a_snapshot_is_refused_where_the_window_is_gone() -> None:
    bench = Bench(n_sequences=1, n_window=20)
    bench.run([*A, *B])
    snapshot = keeper_of(bench).snapshot(A)
    assert snapshot is None or snapshot.window_start == len(A), "no window rows, or nothing"


def test_tokens_that_are_on_the_disk_are_not_written_again() -> None:
    bench = Bench()
    bench.put_on_disk(A)
    assert keeper_of(bench).is_on_disk(A)
    save = keeper_of(bench).write(A, "turn")
    assert save is not None
    assert save.job is None
    assert save.is_there
    assert len(bench.on_disk.blocks) == 1


def test_window_rows_that_the_disk_lacks_are_written_where_a_prompt_ends() -> None:
    bench = Bench(n_sequences=1, n_window=20)
    bench.run(A)
    bench.save_idle()
    bench.on_disk.put([*A, *B], snapshot_of([*A, *B], n_window=20))
    assert not keeper_of(bench).is_on_disk(A)
    keeper_of(bench).write(A, "boundary")
    assert keeper_of(bench).is_on_disk(A)


def test_what_leaves_memory_is_written_ends_before_beginnings() -> None:
    bench = Bench(n_sequences=1, memory_bytes=900, can_cut=False)
    bench.run(A)
    bench.save_idle()
    assert pack(A) in [state.packed for state in bench.kv_cache.store.states()]
    bench.run(B)
    bench.save_idle()
    assert bench.on_disk.has_state(A)
    assert bench.on_disk.n_covered(A) == len(A)


def test_a_conversation_waits_at_the_state_before_its_lasting_end() -> None:
    bench = Bench(n_sequences=1, can_cut=False)
    _, slot = bench.begin(A)
    bench.kv_cache.save_now(slot, to_disk=False)
    bench.cells.decode([BatchPart(slot.seq_id, len(A), B, 1)])
    slot.tokens += B
    slot.n_kept = len(A) + 1
    bench.pool.release(slot)
    bench.save_idle()
    assert [end.tokens.tolist() for end in keeper_of(bench).ends] == [A]


def test_a_conversation_too_short_for_the_disk_does_not_wait() -> None:
    bench = Bench(n_sequences=1)
    bench.run(A[:20])
    bench.save_idle()
    assert len(keeper_of(bench).ends) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_of_a_conversation_that_memory_has_no_room_for_the_disk_gets_what_lasts(kind: str) -> None:
    """Later prompts begin with the first of the two, and a state after both is of no use."""
    bench = Bench(n_sequences=1, memory_bytes=0, **KINDS[kind])
    _, slot = bench.begin([*A, *B])
    slot.n_kept = len(A)
    bench.pool.release(slot)
    bench.run([3] * 50)
    written = [job.tokens for job in bench.on_disk.written]
    if bench.shape.is_whole:
        assert written == [[*A, *B]], "it cannot be known what of it is of use"
    else:
        assert written == ([] if bench.shape.needs_state else [A])


@pytest.mark.parametrize("kind", KINDS)
def test_what_only_the_kv_cache_has_is_told_as_far_as_it_lasts(kind: str) -> None:
    bench = Bench(n_sequences=1, memory_bytes=0, **KINDS[kind])
    _, slot = bench.begin([*A, *B])
    slot.n_kept = len(A)
    bench.pool.release(slot)
    told = bench.kv_cache.unsaved()
    if bench.shape.is_whole:
        assert told == [[*A, *B]]
    else:
        assert told == ([] if bench.shape.needs_state else [A])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("capacity_bytes", [1500, 2000, 2600, 3300, 4000])
def test_a_state_that_its_conversation_left_behind_is_not_written(
    kind: str, capacity_bytes: int
) -> None:
    bench = Bench(n_sequences=1, memory_bytes=capacity_bytes, **KINDS[kind])
    tokens = [1] * 40
    for turn in range(5, 10):
        bench.run(tokens)
        bench.save_idle()
        tokens += [turn] * 20
    states = [job.tokens for job in bench.on_disk.written if job.snapshot.state is not None]
    assert [len(each) for each in states if len(each) < 120] == []
    bench.run(B)
    bench.save_idle()
    bench.kv_cache.drop_saved()
    assert bench.run([*tokens, 3]).n_tokens >= 120, "nothing is lost for that"


def left_memory(bench: Bench, *, n_head: int, n_kept: int | None) -> None:
    """Save a conversation after its first part and at its end, and let all of it leave memory."""
    _, slot = bench.begin(A)
    slot.n_head = n_head
    bench.kv_cache.save_now(slot, to_disk=False)
    bench.cells.decode([BatchPart(slot.seq_id, len(A), B, 1)])
    slot.tokens += B
    slot.n_kept = n_kept
    bench.pool.release(slot)
    bench.save_idle()
    bench.kv_cache.drop_saved()
    store = bench.kv_cache.store
    for state in store.states():
        store.mark_used(store.chain([*A, *B]), state)
    other = [3] * 60
    shape, n_copies = bench.shape, 3 if bench.shape.state_bytes else 2
    n_bytes = shape.row_bytes(60) + shape.state_bytes if not shape.is_whole else len(other)
    store.capacity_bytes = n_bytes + n_copies * 4 * len(other)  # nothing stays beside it
    bench.run(other)
    bench.save_idle()
    bench.kv_cache.drop_saved()
    assert not bench.kv_cache.keeper.is_restorable(A)


@pytest.mark.parametrize("kind", KINDS)
def test_a_conversation_that_leaves_memory_is_on_the_disk_up_to_its_lasting_end(kind: str) -> None:
    bench = Bench(n_sequences=1, **KINDS[kind])
    left_memory(bench, n_head=0, n_kept=len(A))
    assert bench.run([*A, 4, 4]).n_tokens == len(A)


@pytest.mark.parametrize("kind", KINDS)
def test_a_head_that_leaves_memory_with_a_conversation_is_on_the_disk_too(kind: str) -> None:
    bench = Bench(n_sequences=1, **KINDS[kind])
    left_memory(bench, n_head=len(A), n_kept=None)
    assert bench.run([*A, 4, 4]).n_tokens == len(A)
    bench.save_idle()
    bench.kv_cache.drop_saved()
    assert bench.run([*A, *B, 4, 4]).n_tokens == len(A) + len(B)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_that_a_shorter_conversation_needs_are_written_where_they_leave_memory(
    kind: str,
) -> None:
    """Its state is all that was saved of it: a longer one had the rows."""
    bench = Bench(n_sequences=1, **KINDS[kind])
    _, slot = bench.begin([*A, *B])
    slot.n_kept = 36
    bench.pool.release(slot)
    for tokens in (A, [3] * 60, [4] * 60):
        bench.save_idle()
        bench.kv_cache.drop_saved()
        store = bench.kv_cache.store
        if tokens != A:
            store.capacity_bytes = store.n_bytes + 250  # something has to go each time
        bench.run(tokens)
    bench.save_idle()
    bench.kv_cache.drop_saved()
    assert not keeper_of(bench).is_restorable(A)
    assert bench.run([*A, 4, 4]).n_tokens == len(A)
