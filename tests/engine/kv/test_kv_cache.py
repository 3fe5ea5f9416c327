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
from tests.engine.fake_disk import fake_disk
from tests.engine.fake_llama import CellCache, shape_of
from tests.engine.kv.snapshots import snapshot_of

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
        memory_bytes: int = 10_000,
        can_cut: bool = True,
        n_window: int = 0,
        is_whole: bool = False,
        step_s: float = SLOW,
    ) -> None:
        disk, self.on_disk = fake_disk()
        self.cells = CellCache(n_cells, 1000, can_cut=can_cut, n_window=n_window)
        self.pool = SequencePool(n_sequences)
        self.shape = shape_of(can_cut=can_cut, n_window=n_window, is_whole=is_whole)
        self.kv_cache = KvCache(
            cast(Context, self.cells),
            self.pool,
            MemoryStore(memory_bytes, self.shape),
            DiskCacheTier(disk, self.shape),
            Throughput(target_s=step_s, n_batch=64),
            shape=self.shape,
            can_cut=can_cut,
        )

    def put_on_disk(self, tokens: list[int]) -> None:
        n_window, needs_state = self.shape.n_window, self.shape.needs_state
        self.on_disk.put(tokens, snapshot_of(tokens, with_state=needs_state, n_window=n_window))

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
    assert hit.n_matched == len(A)
    assert bench.cells.tokens(busy.seq_id) == [*A, 3]


def test_the_disk_serves_what_nobody_else_has() -> None:
    bench = Bench()
    bench.put_on_disk(A)
    hit = bench.run([*A, 5])
    assert (hit.n_tokens, hit.tier) == (len(A), "disk")


def test_memory_goes_before_a_disk_that_has_hardly_more() -> None:
    bench = Bench()
    bench.run(A)
    bench.put_on_disk([*A, 5, 6])
    assert bench.run([*A, 5, 6, 7]).tier == "memory"


def test_an_entry_that_takes_longer_to_read_than_to_compute_is_not_read() -> None:
    bench = Bench(step_s=FAST)
    bench.put_on_disk(A)
    hit = bench.run([*A, 5])
    assert (hit.n_tokens, hit.miss) == (0, "not_restored")
    assert (hit.n_matched, hit.not_restored) == (len(A), "not_worth_reading")


def test_of_a_block_larger_than_the_context_a_part_is_of_use() -> None:
    bench = Bench(n_cells=30)
    bench.put_on_disk(A)
    assert bench.run([*A[:20], 5]).n_tokens == 20


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
    bench = Bench(n_sequences=1, memory_bytes=370)
    for tokens in (A, B, [3] * 40):
        bench.run(tokens)
        bench.save_idle()
    assert A in bench.on_disk.held()
    assert len(bench.kv_cache.store) == 1


def test_forgetting_leaves_what_requests_work_on() -> None:
    bench = Bench()
    bench.run(A)
    bench.save_idle()
    bench.put_on_disk(B)
    _, busy = bench.begin([3] * 30)
    assert bench.kv_cache.forget() == (2, 5 * len(A) + 1)
    assert bench.kv_cache.kv_tokens == 30
    assert bench.cells.tokens(busy.seq_id) == [3] * 30
    assert not bench.on_disk.held()


def test_unsaved_sequences_are_those_that_memory_lacks() -> None:
    bench = Bench(n_sequences=1)
    bench.run(A)
    assert bench.kv_cache.unsaved() == [A]
    bench.save_idle()
    assert bench.kv_cache.unsaved() == []


def test_what_a_conversation_added_is_all_that_is_copied() -> None:
    bench = Bench(n_sequences=1)
    for tokens in (A, [*A, *[5] * 30], [*A, *[5] * 30, *[6] * 40]):
        bench.run(tokens)
        bench.save_idle()
    starts = [(block.start, block.end) for block in bench.kv_cache.store.blocks()]
    assert starts == [(0, 40), (32, 70), (64, 110)]


# ---------------------------------------------------------------- states


def test_a_sequence_saved_on_its_way_can_be_gone_on_from_there() -> None:
    bench = Bench(n_sequences=1, can_cut=False)
    _, slot = bench.begin(A)
    slot.n_head = len(A)
    bench.kv_cache.save_now(slot, to_disk=False)
    bench.cells.decode([BatchPart(slot.seq_id, len(A), B, 1)])
    slot.tokens += B
    bench.pool.release(slot)
    hit = bench.run([*A, 7, 7])
    assert (hit.n_tokens, hit.tier) == (len(A), "memory")
    assert hit.n_matched == len(A)


def test_a_long_prompt_saved_on_its_way_is_on_the_disk_at_once() -> None:
    bench = Bench(n_sequences=1, can_cut=False)
    _, slot = bench.begin(A)
    bench.kv_cache.save_now(slot, to_disk=True)
    assert bench.on_disk.has_state(A)


def test_how_far_prompts_agree_is_told_where_no_state_lets_them_go_on() -> None:
    bench = Bench(can_cut=False)
    bench.run([*A, *B])
    bench.save_idle()
    hit = bench.run([*A, 5, 5])
    assert (hit.n_tokens, hit.n_matched, hit.miss) == (0, len(A), "not_restored")
    assert hit.not_restored == "no_state"


def test_an_end_that_no_later_prompt_contains_has_no_state() -> None:
    bench = Bench(n_sequences=1, can_cut=False)
    _, slot = bench.begin(A)
    slot.n_kept = 36
    bench.pool.release(slot)
    bench.save_idle()
    assert not bench.kv_cache.store.states()
    assert [list(end.tokens) for end in bench.kv_cache.keeper.ends] == [A[:36]]
    bench.kv_cache.drop_saved()
    assert bench.kv_cache.kv_tokens == 0, "its rows are in memory"


def test_a_long_prefill_is_saved_after_rows_that_weigh_as_much_as_a_state() -> None:
    assert Bench(step_s=SLOW).kv_cache.n_progress() == 512
    slow = Bench(can_cut=False)
    assert slow.kv_cache.n_progress() == 512
    assert Bench(step_s=0.01).kv_cache.n_progress() == 8 * 1600


# ---------------------------------------------------------------- a sliding window


def test_a_live_sequence_is_cut_as_far_as_its_window_is_there() -> None:
    bench = Bench(n_sequences=1, n_window=WINDOW)
    bench.run(HEAD)
    assert bench.run([*HEAD[:39], 5]).n_tokens in (0, 39)
    bench.run([*HEAD, *A])
    assert bench.run([*HEAD, *A, 5]).n_tokens == len(HEAD) + len(A)


def test_what_cannot_be_cut_in_the_kv_cache_does_not_hide_what_memory_has() -> None:
    bench = Bench(n_sequences=1, n_window=WINDOW)
    for tokens in (HEAD, [*HEAD, *A], B, [*HEAD, *A, 5]):
        bench.run(tokens)
        bench.save_idle()
    hit = bench.run([*HEAD, 6, 6])
    assert (hit.n_tokens, hit.tier) == (len(HEAD), "memory")


def test_what_cannot_be_cut_in_the_kv_cache_does_not_hide_what_the_disk_has() -> None:
    bench = Bench(n_sequences=1, memory_bytes=0, n_window=WINDOW)
    for tokens in (HEAD, [*HEAD, *A]):
        bench.put_on_disk(tokens)
    bench.run([*HEAD, *A, 5])
    hit = bench.run([*HEAD, 6, 6])
    assert (hit.n_tokens, hit.tier) == (len(HEAD), "disk")


@pytest.mark.parametrize("n_sequences", [1, 2, 4])
def test_a_longer_conversation_hides_no_shorter_one(n_sequences: int) -> None:
    bench = Bench(n_sequences=n_sequences, n_window=WINDOW)
    for tokens in (HEAD, [*HEAD, *A], B):
        bench.run(tokens)
        bench.save_idle()
    assert bench.run([*HEAD, *A[:30], 6]).n_tokens >= len(HEAD)
    bench.save_idle()
    bench.run(B)
    hit = bench.run([*HEAD, *A, 5])
    assert (hit.n_tokens, hit.tier) == (len(HEAD) + len(A), "memory")


def test_blocks_that_do_not_fit_the_context_hide_no_shorter_prefix() -> None:
    bench = Bench(n_cells=60)
    bench.put_on_disk([*HEAD, 5, 6, *[7] * 40])
    assert bench.run([*HEAD, 5, 6]).n_tokens == len(HEAD) + 1


def test_a_head_goes_to_the_disk_where_memory_has_no_room() -> None:
    bench = Bench(memory_bytes=10, n_window=WINDOW)
    _, slot = bench.begin(HEAD)
    slot.n_head = len(HEAD)
    bench.kv_cache.save_now(slot, to_disk=False)
    assert HEAD in bench.on_disk.held()


# ---------------------------------------------------------------- why less was restored


def test_all_that_is_cached_is_restored_without_a_reason() -> None:
    bench = Bench()
    bench.run(A)
    hit = bench.run([*A, 5])
    assert (hit.n_tokens, hit.n_matched, hit.not_restored) == (len(A), len(A), "")


def test_window_rows_that_are_lost_are_a_reason() -> None:
    bench = Bench(n_window=WINDOW)
    bench.put_on_disk([*A, *B])
    hit = bench.run([*A, 5])
    assert (hit.n_tokens, hit.n_matched) == (0, len(A))
    assert (hit.miss, hit.not_restored) == ("not_restored", "window_lost")


@pytest.mark.parametrize("can_cut", [True, False])
def test_a_bad_block_or_state_is_a_reason(can_cut: bool) -> None:
    bench = Bench(can_cut=can_cut)
    bench.put_on_disk(A)
    bench.on_disk.is_broken = True
    hit = bench.run([*A, 5])
    assert (hit.n_tokens, hit.n_matched) == (0, len(A))
    assert (hit.miss, hit.not_restored) == ("not_restored", "corrupt")


def test_a_full_kv_cache_is_a_reason() -> None:
    bench = Bench(n_cells=70)
    bench.put_on_disk(A)
    bench.begin(B)
    lease = bench.pool.lease([*A, 5])
    assert lease is not None
    hit = bench.kv_cache.restore_prefix(lease, A)
    assert (hit.n_tokens, hit.miss, hit.not_restored) == (0, "not_restored", "no_room")


def test_a_few_tokens_that_are_shared_are_no_match_and_none_of_many() -> None:
    bench = Bench(n_sequences=1, step_s=FAST)
    bench.put_on_disk(A)
    bench.run([*A[:3], *B])
    hit = bench.run([*A, 5])
    assert (hit.n_tokens, hit.n_matched) == (3, len(A))
    assert (hit.miss, hit.not_restored) == ("not_restored", "not_worth_reading")
