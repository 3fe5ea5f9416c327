"""A prompt finds what is known of it in the KV cache, in memory or on disk, whichever has most."""

from __future__ import annotations

from typing import cast

import pytest

from app.engine.kv.disk_tier import DiskCacheTier
from app.engine.kv.hit_counts import Hit
from app.engine.kv.kv_cache import KvCache
from app.engine.kv.memory_store import MemoryStore
from app.engine.kv.sequences import SequencePool, Slot
from app.engine.llama import BatchPart, Context
from app.engine.system.throughput import Throughput
from tests.engine.fake_disk import FakeStore, fake_disk
from tests.engine.fake_llama import CellCache

A, B = [1] * 40, [2] * 40
HEAD, WINDOW = [4] * 40, 20
SLOW, FAST = 1.0, 1e-12  # seconds that a step may take, from which a prefill speed follows


class Bench:
    """A KV cache and requests that pass through it."""

    def __init__(
        self,
        *,
        n_sequences: int = 2,
        n_cells: int = 1000,
        memory_bytes: int = 1000,
        can_cut: bool = True,
        window: int = 0,
        step_s: float = SLOW,
    ) -> None:
        can_cut_states = can_cut and not window
        disk, self.on_disk = fake_disk(can_cut=can_cut_states, dice=None)
        self.cells = CellCache(n_cells, 1000, can_cut=can_cut, window=window)
        self.pool = SequencePool(n_sequences)
        self.kv_cache = KvCache(
            cast(Context, self.cells),
            self.pool,
            MemoryStore(memory_bytes, can_cut=can_cut_states),
            DiskCacheTier(disk),
            Throughput(target_s=step_s, n_batch=64),
            can_cut=can_cut,
        )

    def begin(self, tokens: list[int]) -> tuple[Hit, Slot]:
        """Start a request and prefill what is not known."""
        lease = self.pool.lease(tokens)
        assert lease is not None
        hit = self.kv_cache.restore_prefix(lease, tokens[:-1])
        slot = lease.slot
        slot.tokens = tokens[: hit.n_tokens]
        assert self.cells.tokens(slot.seq_id) == slot.tokens
        self.cells.decode([BatchPart(slot.seq_id, hit.n_tokens, tokens[hit.n_tokens :], 1)])
        slot.tokens = list(tokens)
        return hit, slot

    def run(self, tokens: list[int]) -> Hit:
        """Run a request to its end and leave its sequence idle."""
        hit, slot = self.begin(tokens)
        self.pool.release(slot)
        self.kv_cache.drop_saved()
        return hit

    def save_idle(self) -> None:
        while self.kv_cache.save_idle():
            pass


def put_on_disk(store: FakeStore, tokens: list[int]) -> None:
    store.entries[tuple(tokens)] = bytearray(tokens)


@pytest.mark.parametrize(
    ("before", "prompt", "miss"),
    [([], A, "empty"), (B, A, "no_match"), (B, A[:10], "short_prompt")],
)
def test_a_miss_has_a_reason(before: list[int], prompt: list[int], miss: str) -> None:
    bench = Bench()
    if before:
        bench.run(before)
        bench.save_idle()
    hit = bench.run(prompt)
    assert (hit.n_tokens, hit.tier, hit.miss, hit.restore_ms) == (0, "none", miss, 0.0)


def test_the_next_turn_goes_on_where_the_last_one_ended() -> None:
    bench = Bench()
    bench.run(A)
    hit = bench.run([*A, 5, 6])
    assert (hit.n_tokens, hit.tier, hit.miss) == (len(A), "memory", "")


def test_an_idle_sequence_leaves_the_kv_cache_and_comes_back() -> None:
    bench = Bench(n_sequences=1)
    bench.run(A)
    bench.save_idle()
    bench.run(B)
    assert bench.cells.n_used == len(B)
    assert bench.run([*A, 5]).n_tokens == len(A)


def test_prompts_share_the_prefix_of_a_busy_sequence() -> None:
    bench = Bench()
    _, busy = bench.begin([*A, 3])
    hit, _ = bench.begin([*A, 4, 4])
    assert hit.n_tokens == len(A)
    assert hit.n_branch == len(A)
    assert bench.cells.tokens(busy.seq_id) == [*A, 3]


def test_the_disk_serves_what_nobody_else_has() -> None:
    bench = Bench()
    put_on_disk(bench.on_disk, A)
    hit = bench.run([*A, 5])
    assert (hit.n_tokens, hit.tier) == (len(A), "disk")


def test_memory_goes_before_a_disk_that_has_hardly_more() -> None:
    bench = Bench()
    bench.run(A)
    put_on_disk(bench.on_disk, [*A, 5, 6])
    assert bench.run([*A, 5, 6, 7]).tier == "memory"


def test_an_entry_that_takes_longer_to_read_than_to_compute_is_not_read() -> None:
    bench = Bench(step_s=FAST)
    put_on_disk(bench.on_disk, A)
    hit = bench.run([*A, 5])
    assert (hit.n_tokens, hit.miss) == (0, "not_restored")


def test_an_entry_larger_than_the_context_is_not_read() -> None:
    bench = Bench(n_cells=30)
    put_on_disk(bench.on_disk, A)
    assert bench.run([*A[:20], 5]).n_tokens == 0


def test_a_model_that_cannot_cut_uses_an_entry_as_a_whole_or_not() -> None:
    bench = Bench(can_cut=False)
    bench.run(A)
    bench.save_idle()
    assert bench.run([*A[:30], 5, 5]).n_tokens == 0
    assert bench.run([*A, 5, 5]).n_tokens == len(A)


def test_hits_and_misses_are_counted_by_tier_and_reason() -> None:
    bench = Bench()
    for tokens in (A, [*A, 5]):
        bench.kv_cache.hits.count(bench.run(tokens))
    assert bench.kv_cache.hits.misses == {"empty": 1}
    assert bench.kv_cache.hits.by_tier == {"memory": 1}
    assert bench.kv_cache.hits.n_restored == len(A)


def test_a_full_kv_cache_moves_the_oldest_idle_sequence_to_memory() -> None:
    bench = Bench()
    for tokens in (A, B):
        _, slot = bench.begin(tokens)
        bench.pool.release(slot)
    assert bench.kv_cache.make_room()
    assert len(bench.kv_cache.store) == 2  # B's copy was made when A's request was alone
    assert bench.kv_cache.kv_tokens <= len(B)
    while bench.kv_cache.make_room():
        pass
    assert bench.kv_cache.kv_tokens == 0


def test_what_memory_has_no_room_for_goes_to_the_disk() -> None:
    bench = Bench(n_sequences=1, memory_bytes=50)
    for tokens in (A, B, [3] * 40):
        bench.run(tokens)
        bench.save_idle()
    assert tuple(A) in bench.on_disk.entries
    assert len(bench.kv_cache.store) == 1


def test_forgetting_leaves_what_requests_work_on() -> None:
    bench = Bench()
    bench.run(A)
    bench.save_idle()
    put_on_disk(bench.on_disk, B)
    _, busy = bench.begin([3] * 30)
    assert bench.kv_cache.forget() == (2, len(A) + 1)
    assert bench.kv_cache.kv_tokens == 30
    assert bench.cells.tokens(busy.seq_id) == [3] * 30
    assert not bench.on_disk.entries


@pytest.mark.parametrize("is_in_memory", [False, True])
def test_a_snapshot_is_the_state_of_exactly_the_tokens(is_in_memory: bool) -> None:
    bench = Bench(n_sequences=1)
    bench.run(A)
    if is_in_memory:
        bench.save_idle()
        bench.run(B)
    for n_tokens in (len(A), 25):
        assert bench.kv_cache.snapshot(A[:n_tokens]) == bytearray(A[:n_tokens])
    assert bench.kv_cache.snapshot([9] * 20) is None
    assert bench.cells.n_used == (len(B) if is_in_memory else len(A)), "the spare one is clear"


def test_a_model_that_cannot_cut_has_snapshots_of_whole_sequences_only() -> None:
    bench = Bench(can_cut=False)
    bench.run(A)
    assert bench.kv_cache.snapshot(A) == bytearray(A)
    assert bench.kv_cache.snapshot(A[:20]) is None


def test_unsaved_sequences_are_those_that_memory_lacks() -> None:
    bench = Bench(n_sequences=1)
    bench.run(A)
    assert bench.kv_cache.unsaved() == [A]
    bench.save_idle()
    assert bench.kv_cache.unsaved() == []


# ---------------------------------------------------------------- a sliding window


def test_a_live_sequence_is_cut_as_far_as_its_window_is_there() -> None:
    bench = Bench(n_sequences=1, window=WINDOW)
    bench.run([*HEAD, *A])
    assert bench.run([*HEAD, *A[:20], 5]).n_tokens == len(HEAD) + 20


def test_what_cannot_be_cut_in_the_kv_cache_does_not_hide_what_memory_has() -> None:
    bench = Bench(n_sequences=1, window=WINDOW)
    for tokens in (HEAD, [*HEAD, *A], B, [*HEAD, *A, 5]):
        bench.run(tokens)
        bench.save_idle()
    hit = bench.run([*HEAD, 6, 6])
    assert (hit.n_tokens, hit.tier) == (len(HEAD), "memory")


def test_what_cannot_be_cut_in_the_kv_cache_does_not_hide_what_the_disk_has() -> None:
    bench = Bench(n_sequences=1, memory_bytes=0, window=WINDOW)
    for tokens in (HEAD, [*HEAD, *A]):
        put_on_disk(bench.on_disk, tokens)
    bench.run([*HEAD, *A, 5])
    hit = bench.run([*HEAD, 6, 6])
    assert (hit.n_tokens, hit.tier) == (len(HEAD), "disk")


@pytest.mark.parametrize("n_sequences", [1, 2, 4])
def test_a_longer_entry_that_cannot_be_cut_stays_and_hides_no_shorter_one(
    n_sequences: int,
) -> None:
    bench = Bench(n_sequences=n_sequences, window=WINDOW)
    for tokens in (HEAD, [*HEAD, *A], B):
        bench.run(tokens)
        bench.save_idle()
    assert bench.run([*HEAD, *A[:30], 6]).n_tokens >= len(HEAD)
    bench.save_idle()
    bench.run(B)
    hit = bench.run([*HEAD, *A, 5])
    assert (hit.n_tokens, hit.tier) == (len(HEAD) + len(A), "memory")


def test_entries_that_do_not_fit_beside_running_requests_hide_no_shorter_one() -> None:
    bench = Bench(n_cells=200, can_cut=False)
    for tokens in (HEAD, [*HEAD, *A], B):
        bench.run(tokens)
        bench.save_idle()
    bench.begin([3] * 130)
    hit, _ = bench.begin([*HEAD, *A, 5])
    assert (hit.n_tokens, hit.tier) == (len(HEAD), "memory")
    assert len(bench.kv_cache.store) == 3, "room is what the longer one lacked"


def test_entries_too_large_to_be_read_hide_no_shorter_one() -> None:
    bench = Bench(n_cells=60)
    put_on_disk(bench.on_disk, HEAD)
    for number in range(8):
        put_on_disk(bench.on_disk, [*HEAD, 5, 6, *[number] * 40])
    hit = bench.run([*HEAD, 5, 6])
    assert (hit.n_tokens, hit.tier) == (len(HEAD), "disk")


def test_a_snapshot_is_refused_where_the_window_is_gone() -> None:
    bench = Bench(n_sequences=1, window=WINDOW)
    bench.run([*HEAD, *A])
    assert bench.kv_cache.snapshot(HEAD) == bytearray(HEAD), "its window is there"
    bench.save_idle()
    bench.run(B)
    assert bench.kv_cache.snapshot(HEAD) is None, "it was in the KV cache only"
    assert bench.kv_cache.snapshot([*HEAD, *A]) == bytearray([*HEAD, *A])
    bench.run([*HEAD, *A, 5])
    assert bench.kv_cache.snapshot(HEAD) is None, "the sequence came back without it"
    assert bench.cells.n_used == len(HEAD) + len(A) + 1, "the spare one is clear"


def test_a_snapshot_comes_from_memory_where_the_window_of_the_sequence_is_gone() -> None:
    bench = Bench(n_sequences=1, window=WINDOW)
    for tokens in (HEAD, [*HEAD, *A], B, [*HEAD, *A, 5]):
        bench.run(tokens)
        bench.save_idle()
    assert bench.kv_cache.snapshot(HEAD) == bytearray(HEAD)


@pytest.mark.parametrize(("memory_bytes", "n_on_disk"), [(1000, 0), (10, 1)])
def test_a_sequence_saved_on_its_way_goes_to_the_disk_where_memory_has_no_room(
    memory_bytes: int, n_on_disk: int
) -> None:
    bench = Bench(memory_bytes=memory_bytes, window=WINDOW)
    _, slot = bench.begin(HEAD)
    bench.kv_cache.save_now(slot)
    assert len(bench.on_disk.entries) == n_on_disk
    assert bench.kv_cache.store.has(HEAD) != bool(n_on_disk)


def test_sequences_that_ran_side_by_side_are_still_cut_where_a_copy_could_not_be() -> None:
    bench = Bench(window=WINDOW)
    _, first = bench.begin([*HEAD, *A])
    _, second = bench.begin(B)
    for slot in (first, second):
        bench.pool.release(slot)
    bench.save_idle()
    assert bench.run([*HEAD, *A[:30], 6]).n_tokens == len(HEAD) + 30
