"""Requests run in order of arrival, share a step fairly and leave their tokens behind."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.engine.request import Request
from app.engine.scheduler import Scheduler, Work
from app.engine.sequences import Lease, SequencePool
from app.protocol import SamplingParams


def request(name: str, tokens: list[int], max_new: int = 8) -> Request:
    return Request(
        request_id=name,
        tokens=list(tokens),
        n_prompt=len(tokens),
        max_new=max_new,
        sampling=SamplingParams(),
    )


def prompt(n_tokens: int, first: int = 0) -> list[int]:
    return list(range(first, first + n_tokens))


def scheduler(
    *requests: Request, parallel: int = 1, n_batch: int = 512, n_seq_max: int = 8
) -> Scheduler:
    queue = Scheduler(SequencePool(n_seq_max), parallel=parallel, n_batch=n_batch)
    for item in requests:
        queue.submit(item)
    return queue


def decode(work: list[Work]) -> None:
    for item in work:
        item.request.n_past += item.n_tokens


def sizes(work: list[Work]) -> dict[str, int]:
    return {item.request.request_id: item.n_tokens for item in work}


# ---------------------------------------------------------------- queue


def test_requests_start_in_order_of_arrival() -> None:
    first, second, third = (request(name, prompt(3)) for name in "abc")
    queue = scheduler(first, second, third)
    for expected in (first, second, third):
        assert [started for started, _ in queue.admit()] == [expected]
        queue.remove(expected)
    assert queue.is_idle


@pytest.mark.parametrize("parallel", [1, 4])
def test_no_more_than_parallel_requests_run_at_once(parallel: int) -> None:
    requests = [request(str(number), prompt(3)) for number in range(6)]
    queue = scheduler(*requests, parallel=parallel)
    queue.admit()
    assert queue.running == requests[:parallel]
    assert list(queue.waiting) == requests[parallel:]
    assert queue.admit() == []


def test_requests_wait_while_no_sequence_is_free() -> None:
    first, second = request("a", prompt(3)), request("b", prompt(3))
    queue = scheduler(first, second, parallel=2, n_seq_max=1)
    assert [started for started, _ in queue.admit()] == [first]
    queue.remove(first)
    assert [started for started, _ in queue.admit()] == [second]


def test_a_started_request_works_on_the_slot_of_its_lease() -> None:
    queue = scheduler(request("a", prompt(3)))
    ((started, lease),) = queue.admit()
    assert started.slot is lease.slot
    assert lease.slot.busy


def test_a_request_is_found_waiting_or_running() -> None:
    running, waiting = request("a", prompt(3)), request("b", prompt(3))
    queue = scheduler(running, waiting)
    queue.admit()
    assert queue.find("a") is running
    assert queue.find("b") is waiting
    assert queue.find("c") is None


def test_it_is_idle_only_with_nothing_waiting_and_nothing_running() -> None:
    only = request("a", prompt(3))
    queue = scheduler()
    idle = [queue.is_idle]
    queue.submit(only)
    idle.append(queue.is_idle)
    queue.admit()
    idle.append(queue.is_idle)
    queue.remove(only)
    idle.append(queue.is_idle)
    assert idle == [True, False, False, True]


# ---------------------------------------------------------------- removing


def test_the_tokens_decoded_so_far_stay_in_the_slot() -> None:
    cancelled = request("a", prompt(10))
    queue = scheduler(cancelled)
    ((_, lease),) = queue.admit()
    decode(queue.plan(prefill_budget=4))
    queue.remove(cancelled)
    assert lease.slot.tokens == prompt(4)
    assert not lease.slot.busy
    assert cancelled.slot is None


def test_a_sampled_token_that_was_not_decoded_does_not_stay() -> None:
    finished = request("a", prompt(3), max_new=2)
    queue = scheduler(finished)
    ((_, lease),) = queue.admit()
    decode(queue.plan(prefill_budget=64))
    decode(queue.plan(prefill_budget=64))
    finished.tokens.append(99)
    queue.remove(finished)
    assert lease.slot.tokens == prompt(3)


def test_the_next_turn_finds_what_the_last_one_left() -> None:
    queue = scheduler(request("a", prompt(3), max_new=0))
    queue.admit()
    decode(queue.plan(prefill_budget=64))
    queue.remove(queue.running[0])
    queue.submit(request("b", prompt(5)))
    ((_, lease),) = queue.admit()
    assert (lease.n_keep, lease.source) == (3, None)


def test_a_cancelled_request_leaves_the_queue_and_no_slot_changes() -> None:
    running, cancelled, last = (request(name, prompt(3)) for name in "abc")
    queue = scheduler(running, cancelled, last)
    queue.admit()
    queue.remove(cancelled)
    assert queue.running == [running]
    assert list(queue.waiting) == [last]


def test_what_a_lease_counts_on_is_there_when_it_starts() -> None:
    """Two requests start in one step; the first has its whole prompt cached, the second goes on
    where that one ends. Started as `EngineLoop._start` does it, in order of admission."""
    queue = scheduler(request("before", prompt(3), max_new=0), parallel=2)
    queue.admit()
    decode(queue.plan(prefill_budget=64))
    queue.remove(queue.running[0])
    queue.submit(request("same", prompt(3)))
    queue.submit(request("longer", prompt(5)))
    kv = {0: prompt(3)}
    for started, lease in queue.admit():
        n_keep = lease.n_keep
        source = lease.source or lease.slot
        assert kv[source.seq_id][:n_keep] == started.tokens[:n_keep]
        kv[lease.slot.seq_id] = started.tokens[:n_keep]


# ---------------------------------------------------------------- planning


def test_a_prompt_is_prefilled_in_chunks_of_the_budget() -> None:
    queue = scheduler(request("a", prompt(10)))
    queue.admit()
    chunks = []
    for _ in range(4):
        work = queue.plan(prefill_budget=4)
        chunks.append(sizes(work)["a"])
        decode(work)
    assert chunks == [4, 4, 1, 1]


def test_the_last_prompt_token_of_an_answer_is_decoded_alone() -> None:
    queue = scheduler(request("a", prompt(10)))
    queue.admit()
    (prefill,) = queue.plan(prefill_budget=64)
    assert (prefill.n_tokens, prefill.reaches_end) == (9, False)
    decode([prefill])
    (last,) = queue.plan(prefill_budget=64)
    assert (last.n_tokens, last.reaches_end) == (1, True)


def test_a_prompt_to_be_kept_ready_is_decoded_to_its_end() -> None:
    queue = scheduler(request("a", prompt(10), max_new=0))
    queue.admit()
    (only,) = queue.plan(prefill_budget=64)
    assert (only.n_tokens, only.reaches_end) == (10, True)


def test_prefill_never_holds_up_a_request_that_generates() -> None:
    generating, long = request("a", prompt(1)), request("b", prompt(1000))
    queue = scheduler(generating, long, parallel=4, n_batch=64)
    queue.admit()
    assert sizes(queue.plan(prefill_budget=1000)) == {"a": 1, "b": 63}


def test_the_budget_is_shared_by_all_prompts_the_earliest_first() -> None:
    queue = scheduler(request("a", prompt(11)), request("b", prompt(100, 50)), parallel=4)
    queue.admit()
    assert sizes(queue.plan(prefill_budget=32)) == {"a": 10, "b": 22}
    assert sizes(queue.plan(prefill_budget=10)) == {"a": 10}


def test_generating_requests_do_not_count_against_the_prefill_budget() -> None:
    queue = scheduler(*(request(name, prompt(1)) for name in "abcd"), parallel=4)
    queue.admit()
    assert sizes(queue.plan(prefill_budget=1)) == dict.fromkeys("abcd", 1)


def test_nothing_runs_nothing_is_planned() -> None:
    assert scheduler(request("a", prompt(3))).plan(prefill_budget=64) == []


# ---------------------------------------------------------------- any workload


class Machine:
    """The loop around a scheduler, with lists for a KV cache and dice for a model."""

    def __init__(self, dice: random.Random, parallel: int, n_batch: int) -> None:
        self.dice = dice
        self.parallel, self.n_batch = parallel, n_batch
        self.n_seq_max = parallel + dice.randrange(3)
        self.pool = SequencePool(self.n_seq_max)
        self.scheduler = Scheduler(self.pool, parallel=parallel, n_batch=n_batch)
        self.kv: list[list[int]] = [[] for _ in range(self.n_seq_max)]
        self.submitted: list[Request] = []
        self.started: list[Request] = []
        self.finished: list[Request] = []
        self.cancelled: list[Request] = []

    def submit(self) -> None:
        tokens = [self.dice.randrange(2) for _ in range(self.dice.randrange(1, 20))]
        new = request(str(len(self.submitted)), tokens, max_new=self.dice.randrange(5))
        self.submitted.append(new)
        self.scheduler.submit(new)

    def cancel(self) -> None:
        alive = [*self.scheduler.waiting, *self.scheduler.running]
        if alive:
            chosen = self.dice.choice(alive)
            self.cancelled.append(chosen)
            self.scheduler.remove(chosen)

    def step(self) -> None:
        for started, lease in self.scheduler.admit():
            self._start(started, lease)
        budget = self.dice.randrange(1, self.n_batch + 1)
        work = self.scheduler.plan(budget)
        self._check_plan(work, budget)
        for item in work:
            self._decode(item)
        self.check()

    def _start(self, started: Request, lease: Lease) -> None:
        self.started.append(started)
        source = lease.source or lease.slot
        kept = started.tokens[: lease.n_keep]
        assert self.kv[source.seq_id][: lease.n_keep] == kept
        self.kv[lease.slot.seq_id] = kept
        started.n_past = min(lease.n_keep, started.n_prompt - (started.max_new > 0))
        if started.max_new == 0 and started.n_pending == 0:
            self._finish(started)

    def _check_plan(self, work: list[Work], budget: int) -> None:
        assert bool(work) == bool(self.scheduler.running), "a step without work hangs"
        assert len({item.request.request_id for item in work}) == len(work)
        assert sum(item.n_tokens for item in work) <= self.n_batch
        assert sum(item.n_tokens for item in work if item.request.n_prefill) <= budget
        for item in work:
            assert item.request in self.scheduler.running
            assert 1 <= item.n_tokens <= item.request.n_pending
            if item.request.max_new:
                assert item.reaches_end == (not item.request.n_prefill)
                assert item.n_tokens == 1 or not item.reaches_end
        planned = {item.request.request_id for item in work}
        generating = [item for item in self.scheduler.running if not item.n_prefill]
        assert planned >= {item.request_id for item in generating}

    def _decode(self, item: Work) -> None:
        working, ends = item.request, item.reaches_end
        assert working.slot is not None
        end = working.n_past + item.n_tokens
        held = self.kv[working.slot.seq_id]
        assert len(held) >= working.n_past, "a position was left out"
        held[working.n_past :] = working.tokens[working.n_past : end]
        working.n_past = end
        if not ends:
            return
        if working.max_new:
            working.tokens.append(self.dice.randrange(2))
        if working.n_generated >= working.max_new or self.dice.random() < 0.1:
            self._finish(working)

    def _finish(self, done: Request) -> None:
        self.finished.append(done)
        self.scheduler.remove(done)

    def check(self) -> None:
        running = self.scheduler.running
        assert len(running) <= self.parallel
        busy = [slot.seq_id for slot in self.pool.slots if slot.busy]
        assert sorted(item.slot.seq_id for item in running if item.slot) == busy
        for slot in self.pool.slots:
            assert self.kv[slot.seq_id][: len(slot.tokens)] == slot.tokens
        for item in running:
            assert item.slot is not None
            assert self.kv[item.slot.seq_id][: item.n_past] == item.tokens[: item.n_past]


@settings(max_examples=100)
@given(st.integers(0, 2**32), st.sampled_from([1, 4]), st.sampled_from([4, 8, 64]))
def test_every_workload_is_done_in_order_and_to_its_end(
    seed: int, parallel: int, n_batch: int
) -> None:
    machine = Machine(random.Random(seed), parallel, n_batch)
    for _ in range(machine.dice.randrange(5, 25)):
        for _ in range(machine.dice.randrange(3)):
            machine.submit()
        if machine.dice.random() < 0.2:
            machine.cancel()
            machine.check()
        machine.step()
    while not machine.scheduler.is_idle:
        machine.step()

    in_order = [item for item in machine.submitted if item in machine.started]
    assert machine.started == in_order
    ended = {item.request_id for item in machine.finished + machine.cancelled}
    assert ended == {item.request_id for item in machine.submitted}
    for item in machine.finished:
        assert item.n_generated <= item.max_new
        assert item.n_past >= item.n_prompt
