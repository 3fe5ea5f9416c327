"""Which sequence a prompt gets, what it keeps of it and what it must not throw away."""

from __future__ import annotations

from itertools import takewhile

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from app.base.prefix import common_prefix
from app.engine.kv.sequences import Lease, SequencePool, Slot

TOKENS = st.lists(st.integers(0, 2), max_size=8)


def naive_common_prefix(left: list[int], right: list[int]) -> int:
    pairs = zip(left, right, strict=False)
    return len(list(takewhile(lambda pair: pair[0] == pair[1], pairs)))


def pool_of(*contents: list[int]) -> SequencePool:
    """Return a pool whose slots hold these tokens, the first one used the longest ago."""
    pool = SequencePool(len(contents))
    for slot, tokens in zip(pool.slots, contents, strict=True):
        slot.tokens = list(tokens)
        if tokens:
            pool.release(slot)
    return pool


def leased(pool: SequencePool, prompt: list[int]) -> Lease:
    lease = pool.lease(prompt)
    assert lease is not None
    return lease


# ---------------------------------------------------------------- common prefix


@given(TOKENS, TOKENS)
def test_common_prefix_counts_the_leading_tokens_that_are_equal(
    left: list[int], right: list[int]
) -> None:
    assert common_prefix(left, right) == naive_common_prefix(left, right)


@given(st.integers(0, 300), st.integers(0, 300), st.integers(0, 300))
def test_common_prefix_finds_one_difference_anywhere(n_left: int, n_accepted: int, at: int) -> None:
    left, right = [0] * n_left, [0] * n_accepted
    if at < n_left:
        left[at] = 1
    assert common_prefix(left, right) == naive_common_prefix(left, right)


# ---------------------------------------------------------------- choosing a slot


def test_a_continued_conversation_takes_its_own_sequence_over() -> None:
    pool = pool_of([1, 2, 3], [9, 9], [])
    lease = leased(pool, [1, 2, 3, 4])
    assert (lease.slot, lease.n_keep, lease.source) == (pool.slots[0], 3, None)


def test_a_branch_is_copied_so_that_the_longer_conversation_stays() -> None:
    pool = pool_of([1, 2, 3, 4, 5], [])
    lease = leased(pool, [1, 2, 8])
    assert (lease.slot, lease.n_keep, lease.source) == (pool.slots[1], 2, pool.slots[0])
    assert pool.slots[0].tokens == [1, 2, 3, 4, 5]
    assert pool.slots[1].tokens == [1, 2]


def test_the_prefix_of_a_running_request_is_copied() -> None:
    pool = pool_of([], [])
    running = leased(pool, [1, 2, 3])
    running.slot.tokens = [1, 2, 3]
    lease = leased(pool, [1, 2, 3, 4])
    assert (lease.slot, lease.n_keep, lease.source) == (pool.slots[1], 3, pool.slots[0])


def test_the_only_sequence_is_cut_to_the_shared_prefix() -> None:
    pool = pool_of([1, 2, 3, 4])
    lease = leased(pool, [1, 2, 8])
    assert (lease.n_keep, lease.source) == (2, None)
    assert lease.slot.tokens == [1, 2]


def test_the_longest_shared_prefix_wins() -> None:
    pool = pool_of([1], [1, 2, 3], [1, 2])
    assert leased(pool, [1, 2, 3, 4]).slot is pool.slots[1]


def test_a_new_conversation_takes_an_empty_sequence_first() -> None:
    pool = pool_of([1], [2], [])
    lease = leased(pool, [5])
    assert (lease.slot, lease.n_keep, lease.source) == (pool.slots[2], 0, None)


def test_a_new_conversation_replaces_the_one_used_the_longest_ago() -> None:
    pool = pool_of([1], [2], [3])
    pool.release(leased(pool, [1, 1]).slot)
    assert leased(pool, [5]).slot is pool.slots[1]
    assert pool.slots[1].tokens == []


def test_a_sequence_that_was_emptied_is_taken_before_an_older_one_that_holds_tokens() -> None:
    pool = pool_of([1], [2])
    pool.slots[1].tokens = []
    assert leased(pool, [5]).slot is pool.slots[1]


def test_a_copy_replaces_the_conversation_used_the_longest_ago() -> None:
    pool = pool_of([9], [1, 2, 3], [8])
    lease = leased(pool, [1, 2, 7])
    assert (lease.slot, lease.source) == (pool.slots[0], pool.slots[1])


def test_there_is_no_lease_while_every_slot_is_busy() -> None:
    pool = pool_of([], [])
    first = leased(pool, [1])
    leased(pool, [2])
    assert pool.lease([1]) is None
    pool.release(first.slot)
    assert leased(pool, [3]).slot is first.slot


def test_the_oldest_idle_sequence_is_one_that_holds_tokens_and_is_not_busy() -> None:
    pool = pool_of([1], [2], [])
    assert pool.oldest_idle() is pool.slots[0]
    leased(pool, [1])
    assert pool.oldest_idle() is pool.slots[1]
    leased(pool, [2])
    assert pool.oldest_idle() is None


# ---------------------------------------------------------------- any order of events


class PoolAgainstKvCache(RuleBasedStateMachine):
    """Leases and releases in any order beside a KV cache of plain lists."""

    @initialize(n_seq_max=st.integers(1, 5))
    def start(self, n_seq_max: int) -> None:
        self.pool = SequencePool(n_seq_max)
        self.kv: list[list[int]] = [[] for _ in range(n_seq_max)]
        self.running: dict[int, list[int]] = {}

    @rule(prompt=TOKENS)
    def lease(self, prompt: list[int]) -> None:
        held = [list(slot.tokens) for slot in self.pool.slots]
        lease = self.pool.lease(prompt)
        if len(self.running) == len(self.pool.slots):
            assert lease is None
            return
        assert lease is not None
        seq_id = lease.slot.seq_id
        assert seq_id not in self.running, "a busy slot was handed out"
        assert lease.n_keep == max(naive_common_prefix(tokens, prompt) for tokens in held)
        self._is_kept(lease, prompt)
        assert [slot.tokens for slot in self._others(lease.slot)] == [
            tokens for at, tokens in enumerate(held) if at != seq_id
        ], "a sequence that was not leased changed"
        if lease.source is None and len(held[seq_id]) > lease.n_keep > 0:
            idle = [slot for slot in self._others(lease.slot) if not slot.busy]
            assert not idle, "a longer conversation was cut although there was another place"
        self.running[seq_id] = prompt

    def _is_kept(self, lease: Lease, prompt: list[int]) -> None:
        source, seq_id = lease.source or lease.slot, lease.slot.seq_id
        kept = self.kv[source.seq_id][: lease.n_keep]
        assert kept == lease.slot.tokens == prompt[: lease.n_keep]
        self.kv[seq_id] = kept

    def _others(self, slot: Slot) -> list[Slot]:
        return [other for other in self.pool.slots if other is not slot]

    @rule(data=st.data(), answer=TOKENS)
    def finish(self, data: st.DataObject, answer: list[int]) -> None:
        if not self.running:
            return
        seq_id = data.draw(st.sampled_from(sorted(self.running)))
        slot = self.pool.slots[seq_id]
        slot.tokens = self.running.pop(seq_id) + answer
        self.kv[seq_id] = list(slot.tokens)
        self.pool.release(slot)

    @rule()
    def evict(self) -> None:
        slot = self.pool.oldest_idle()
        if slot is not None:
            assert slot.seq_id not in self.running
            assert slot.tokens
            slot.tokens = []
            self.kv[slot.seq_id] = []

    @invariant()
    def busy_is_what_runs(self) -> None:
        if hasattr(self, "pool"):
            busy = {slot.seq_id for slot in self.pool.slots if slot.busy}
            assert busy == set(self.running)


PoolAgainstKvCache.TestCase.settings = settings(max_examples=100, stateful_step_count=25)
TestPoolAgainstKvCache = PoolAgainstKvCache.TestCase
