"""Requests run in order of arrival, share a step fairly and leave their tokens behind."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.engine.kv.sequences import SequencePool
from app.engine.scheduling.request import Clock, Request
from app.engine.scheduling.scheduler import Scheduler, Work
from app.protocol import SamplingParams


def request(
    name: str,
    tokens: list[int],
    max_new: int = 8,
    *,
    received_s: float = 0.0,
    leader: Request | None = None,
) -> Request:
    return Request(
        request_id=name,
        tokens=list(tokens),
        n_prompt=len(tokens),
        max_new=max_new,
        sampling=SamplingParams(),
        leader=leader,
        clock=Clock(received_s=received_s),
    )


def prompt(n_tokens: int, first: int = 0) -> list[int]:
    return list(range(first, first + n_tokens))


def scheduler(
    *requests: Request,
    parallel: int = 1,
    max_queue: int = 64,
    n_batch: int = 512,
    n_ctx: int = 100_000,
    n_seq_max: int = 8,
) -> Scheduler:
    queue = Scheduler(
        SequencePool(n_seq_max),
        parallel=parallel,
        max_queue=max_queue,
        n_batch=n_batch,
        n_ctx=n_ctx,
    )
    for item in requests:
        queue.submit(item)
    return queue


def admit(queue: Scheduler) -> list[Request]:
    """Start what can start, as the loop does it: with the tokens that the lease found."""
    started = []
    for item, lease in list(queue.admit()):
        item.n_past = lease.n_keep
        started.append(item)
    return started


def decode(work: list[Work]) -> None:
    """Note a step as the loop does it."""
    for item in work:
        start, end = item.request.n_past, item.request.n_past + item.n_tokens
        item.request.n_past = end
        assert item.request.slot is not None
        item.request.slot.tokens += item.request.tokens[start:end]


def generate(item: Request, *tokens: int) -> None:
    """Sample tokens, each decoded but the last."""
    for token in tokens:
        item.tokens.append(token)
        decode([Work(item, 1)])


def sizes(work: list[Work]) -> dict[str, int]:
    return {item.request.request_id: item.n_tokens for item in work}


# ---------------------------------------------------------------- queue


def test_requests_start_in_order_of_arrival() -> None:
    first, second, third = (request(name, prompt(3)) for name in "abc")
    queue = scheduler(first, second, third)
    for expected in (first, second, third):
        assert [started for started, _ in list(queue.admit())] == [expected]
        queue.remove(expected)
    assert queue.is_idle


@pytest.mark.parametrize("parallel", [1, 4])
def test_no_more_than_parallel_requests_run_at_once(parallel: int) -> None:
    requests = [request(str(number), prompt(3)) for number in range(6)]
    queue = scheduler(*requests, parallel=parallel)
    list(queue.admit())
    assert queue.running == requests[:parallel]
    assert list(queue.waiting) == requests[parallel:]
    assert list(queue.admit()) == []


def test_requests_wait_while_no_sequence_is_free() -> None:
    first, second = request("a", prompt(3)), request("b", prompt(3))
    queue = scheduler(first, second, parallel=2, n_seq_max=1)
    assert [started for started, _ in list(queue.admit())] == [first]
    queue.remove(first)
    assert [started for started, _ in list(queue.admit())] == [second]


def test_a_started_request_works_on_the_slot_of_its_lease() -> None:
    queue = scheduler(request("a", prompt(3)))
    ((started, lease),) = list(queue.admit())
    assert started.slot is lease.slot
    assert lease.slot.busy


def test_a_request_is_found_waiting_or_running() -> None:
    running, waiting = request("a", prompt(3)), request("b", prompt(3))
    queue = scheduler(running, waiting)
    list(queue.admit())
    assert queue.find("a") == [running]
    assert queue.find("b") == [waiting]
    assert queue.find("c") == []


def test_all_answers_to_one_command_are_found() -> None:
    leader = request("a", prompt(3))
    sibling = request("a", prompt(3), leader=leader)
    queue = scheduler(leader, request("b", prompt(3)), sibling)
    list(queue.admit())
    assert queue.find("a") == [leader, sibling]


def test_it_is_idle_only_with_nothing_waiting_and_nothing_running() -> None:
    only = request("a", prompt(3))
    queue = scheduler()
    idle = [queue.is_idle]
    queue.submit(only)
    idle.append(queue.is_idle)
    list(queue.admit())
    idle.append(queue.is_idle)
    queue.remove(only)
    idle.append(queue.is_idle)
    assert idle == [True, False, False, True]


# ---------------------------------------------------------------- removing


def test_the_tokens_decoded_so_far_stay_in_the_slot() -> None:
    cancelled = request("a", prompt(10))
    queue = scheduler(cancelled)
    ((_, lease),) = list(queue.admit())
    decode(queue.plan(prefill_budget=4))
    queue.remove(cancelled)
    assert lease.slot.tokens == prompt(4)
    assert not lease.slot.busy
    assert cancelled.slot is None


def test_a_sampled_token_that_was_not_decoded_does_not_stay() -> None:
    finished = request("a", prompt(3), max_new=2)
    queue = scheduler(finished)
    ((_, lease),) = list(queue.admit())
    decode(queue.plan(prefill_budget=64))
    decode(queue.plan(prefill_budget=64))
    finished.tokens.append(99)
    queue.remove(finished)
    assert lease.slot.tokens == prompt(3)


def test_the_next_turn_finds_what_the_last_one_left() -> None:
    queue = scheduler(request("a", prompt(3), max_new=0))
    list(queue.admit())
    decode(queue.plan(prefill_budget=64))
    queue.remove(queue.running[0])
    queue.submit(request("b", prompt(5)))
    ((_, lease),) = list(queue.admit())
    assert (lease.n_keep, lease.source) == (3, None)


def test_a_cancelled_request_leaves_the_queue_and_no_slot_changes() -> None:
    running, cancelled, last = (request(name, prompt(3)) for name in "abc")
    queue = scheduler(running, cancelled, last)
    list(queue.admit())
    queue.remove(cancelled)
    assert queue.running == [running]
    assert list(queue.waiting) == [last]


def test_what_a_lease_counts_on_is_there_when_it_starts() -> None:
    """Two requests start in one step; the first has its whole prompt cached, the second goes on
    where that one ends. Started as `EngineLoop._start` does it, in order of admission."""
    queue = scheduler(request("before", prompt(3), max_new=0), parallel=2)
    list(queue.admit())
    decode(queue.plan(prefill_budget=64))
    queue.remove(queue.running[0])
    queue.submit(request("same", prompt(3)))
    queue.submit(request("longer", prompt(5)))
    kv = {0: prompt(3)}
    for started, lease in list(queue.admit()):
        n_keep = lease.n_keep
        source = lease.source or lease.slot
        assert kv[source.seq_id][:n_keep] == started.tokens[:n_keep]
        kv[lease.slot.seq_id] = started.tokens[:n_keep]


# ---------------------------------------------------------------- a bounded queue


def test_the_queue_holds_as_many_requests_as_it_may_beside_the_running_ones() -> None:
    queue = scheduler(request("running", prompt(1)), max_queue=2)
    list(queue.admit())
    taken = []
    for name in "abc":
        taken.append(queue.can_take(1))
        if taken[-1]:
            queue.submit(request(name, prompt(1)))
    assert taken == [True, True, False]


def test_places_that_are_free_to_run_count_as_room() -> None:
    queue = scheduler(request("a", prompt(1)), parallel=4, max_queue=1)
    assert queue.can_take(4)
    assert not queue.can_take(5)


def test_each_of_n_answers_takes_a_place() -> None:
    queue = scheduler(*(request(name, prompt(1)) for name in "ab"), max_queue=4)
    list(queue.admit())
    assert queue.can_take(3)
    assert not queue.can_take(4)


def test_an_idle_engine_takes_more_answers_than_the_queue_has_places() -> None:
    queue = scheduler(max_queue=2)
    assert queue.can_take(128)
    queue.submit(request("a", prompt(1)))
    assert not queue.can_take(128)
    list(queue.admit())
    assert not queue.can_take(128)


def test_a_queue_has_room_again_when_a_request_starts_or_is_cancelled() -> None:
    running, waiting, last = (request(name, prompt(1)) for name in "abc")
    queue = scheduler(running, waiting, last, max_queue=2)
    list(queue.admit())
    assert not queue.can_take(1)
    queue.remove(last)
    assert queue.can_take(1)
    queue.submit(last)
    queue.remove(running)
    list(queue.admit())
    assert queue.can_take(1)


# ---------------------------------------------------------------- room in the KV cache


def test_a_request_starts_beside_others_only_where_its_tokens_fit() -> None:
    running, too_long = request("a", prompt(60)), request("b", prompt(40))
    queue = scheduler(running, too_long, parallel=4, n_ctx=100)
    assert admit(queue) == [running]
    fits = scheduler(request("a", prompt(60)), request("b", prompt(39)), parallel=4, n_ctx=100)
    assert len(admit(fits)) == 2


def test_tokens_of_running_answers_take_room_too() -> None:
    running, waiting = request("a", prompt(50)), request("b", prompt(45))
    queue = scheduler(running, parallel=4, n_ctx=100)
    admit(queue)
    decode(queue.plan(512))
    generate(running, *range(5))
    queue.submit(waiting)
    assert admit(queue) == []
    queue.remove(running)
    assert admit(queue) == [waiting]


def test_answers_to_one_prompt_need_room_for_it_once() -> None:
    leader = request("a", prompt(60))
    sibling = request("a", prompt(60))
    sibling.leader = leader
    queue = scheduler(leader, sibling, parallel=4, n_ctx=100)
    assert admit(queue) == [leader]
    decode(queue.plan(512))
    assert admit(queue) == [sibling]


def test_those_behind_a_request_that_does_not_fit_wait_too() -> None:
    running, long, short = (request(n, prompt(k)) for n, k in (("a", 50), ("b", 60), ("c", 1)))
    queue = scheduler(running, long, short, parallel=4, n_ctx=100)
    assert admit(queue) == [running]
    assert list(queue.waiting) == [long, short]
    queue.remove(running)
    assert admit(queue) == [long, short]


def test_a_request_always_starts_when_nothing_runs() -> None:
    full = request("a", prompt(100))
    queue = scheduler(full, parallel=4, n_ctx=100)
    assert admit(queue) == [full]


def test_idle_sequences_keep_nobody_waiting() -> None:
    before, after = request("a", prompt(90)), request("b", prompt(90, 500))
    queue = scheduler(before, n_ctx=100)
    admit(queue)
    decode(queue.plan(512))
    queue.remove(before)
    queue.submit(after)
    assert admit(queue) == [after]


# ---------------------------------------------------------------- several answers to one prompt


def answers(n_answers: int, n_prompt: int = 10) -> list[Request]:
    leader = request("n", prompt(n_prompt))
    rest = [request("n", prompt(n_prompt), leader=leader) for _ in range(n_answers - 1)]
    return [leader, *rest]


def test_answers_wait_until_the_first_has_prefilled_their_prompt() -> None:
    leader, *siblings = answers(3)
    queue = scheduler(leader, *siblings, parallel=4)
    assert admit(queue) == [leader]
    decode(queue.plan(4))
    assert admit(queue) == []
    decode(queue.plan(64))
    assert admit(queue) == siblings


def test_answers_share_the_prompt_of_the_first() -> None:
    leader, sibling = answers(2)
    queue = scheduler(leader, sibling, parallel=4)
    admit(queue)
    decode(queue.plan(64))
    decode(queue.plan(64))
    ((started, lease),) = list(queue.admit())
    assert started is sibling
    assert lease.source is leader.slot
    assert lease.n_keep == 9


def test_others_need_not_wait_for_the_prompt_of_several_answers() -> None:
    leader, sibling = answers(2)
    other = request("b", prompt(3, 100))
    queue = scheduler(leader, sibling, other, parallel=4)
    assert admit(queue) == [leader, other]
    assert list(queue.waiting) == [sibling]


def test_answers_run_one_after_the_other_where_one_request_runs_at_a_time() -> None:
    leader, sibling = answers(2)
    queue = scheduler(leader, sibling, parallel=1)
    admit(queue)
    decode(queue.plan(64))
    assert admit(queue) == []
    queue.remove(leader)
    ((started, lease),) = list(queue.admit())
    assert (started, lease.n_keep) == (sibling, 9)


@pytest.mark.parametrize("n_prefilled", [0, 4, 9])
def test_answers_start_when_the_first_is_gone_wherever_it_was(n_prefilled: int) -> None:
    leader, sibling = answers(2)
    queue = scheduler(leader, sibling, parallel=4)
    admit(queue)
    decode(queue.plan(n_prefilled))
    queue.remove(leader)
    assert admit(queue) == [sibling]


def test_answers_start_when_the_first_was_cancelled_in_the_queue() -> None:
    leader, sibling = answers(2)
    queue = scheduler(leader, sibling, parallel=4)
    queue.remove(leader)
    assert admit(queue) == [sibling]


def test_answers_wait_for_a_first_that_was_held_back() -> None:
    older = request("a", prompt(3, 100))
    leader, sibling = answers(2)
    leader.clock.received_s = sibling.clock.received_s = 1.0
    queue = scheduler(older, leader, sibling, parallel=4)
    admit(queue)
    decode(queue.plan(64))
    assert queue.preempt() is leader
    assert admit(queue) == [leader]
    decode(queue.plan(64))
    assert admit(queue) == [sibling]


# ---------------------------------------------------------------- held back


def test_the_youngest_is_held_back_and_is_the_next_to_start() -> None:
    oldest, youngest, middle, waiting = (
        request(str(at), prompt(3, 10 * at), received_s=at) for at in (1, 3, 2, 4)
    )
    queue = scheduler(oldest, youngest, middle, waiting, parallel=3)
    admit(queue)
    assert queue.preempt() is youngest
    assert queue.running == [oldest, middle]
    assert list(queue.waiting) == [youngest, waiting]
    assert admit(queue) == [youngest]


def test_several_that_are_held_back_start_again_in_order_of_arrival() -> None:
    requests = [request(str(at), prompt(3, 10 * at), received_s=at) for at in range(4)]
    queue = scheduler(*requests, parallel=4)
    admit(queue)
    while queue.preempt():
        pass
    assert queue.running == requests[:1]
    assert admit(queue) == requests[1:]


def test_the_last_running_request_is_never_held_back() -> None:
    only = request("a", prompt(3))
    queue = scheduler(only, request("b", prompt(3)))
    assert queue.preempt() is None
    admit(queue)
    assert queue.preempt() is None
    assert queue.running == [only]


def test_a_request_held_back_gives_its_sequence_away() -> None:
    first, second = (request(name, prompt(3), received_s=at) for at, name in enumerate("ab"))
    queue = scheduler(first, second, parallel=2, n_seq_max=2)
    admit(queue)
    slot = second.slot
    queue.preempt()
    assert second.slot is None
    assert slot is not None
    assert not slot.busy


def test_a_request_held_back_goes_on_with_all_its_tokens() -> None:
    first = request("a", prompt(3, 100), received_s=1.0)
    paused = request("b", prompt(5), received_s=2.0)
    queue = scheduler(first, paused, parallel=2)
    admit(queue)
    for _ in range(2):
        decode(queue.plan(64))
    generate(paused, 50, 51)
    slot = paused.slot
    paused.tokens.append(52)
    queue.preempt()
    assert slot is not None
    slot.tokens = []  # the room was needed
    assert admit(queue) == [paused]
    assert paused.tokens == [*prompt(5), 50, 51, 52]
    assert (paused.n_prompt, paused.n_generated) == (5, 3)
    sizes_of_steps = []
    while paused.n_pending:
        work = queue.plan(4)
        sizes_of_steps.append(sizes(work)["b"])
        decode(work)
    assert sizes_of_steps == [4, 3, 1], "the last token is decoded alone, as it would have been"
    assert paused.slot is not None
    assert paused.slot.tokens == paused.tokens


def test_a_request_held_back_for_a_moment_finds_its_tokens_again() -> None:
    first = request("a", prompt(3, 100), received_s=1.0)
    paused = request("b", prompt(5), received_s=2.0)
    queue = scheduler(first, paused, parallel=2)
    admit(queue)
    decode(queue.plan(64))
    queue.preempt()
    admit(queue)
    assert paused.n_past == 4


# ---------------------------------------------------------------- planning


def test_a_prompt_is_prefilled_in_chunks_of_the_budget() -> None:
    queue = scheduler(request("a", prompt(10)))
    list(queue.admit())
    chunks = []
    for _ in range(4):
        work = queue.plan(prefill_budget=4)
        chunks.append(sizes(work)["a"])
        decode(work)
    assert chunks == [4, 4, 1, 1]


def test_the_last_prompt_token_of_an_answer_is_decoded_alone() -> None:
    queue = scheduler(request("a", prompt(10)))
    list(queue.admit())
    (prefill,) = queue.plan(prefill_budget=64)
    assert (prefill.n_tokens, prefill.reaches_end) == (9, False)
    decode([prefill])
    (last,) = queue.plan(prefill_budget=64)
    assert (last.n_tokens, last.reaches_end) == (1, True)


def test_a_prompt_to_be_kept_ready_is_decoded_to_its_end() -> None:
    queue = scheduler(request("a", prompt(10), max_new=0))
    list(queue.admit())
    (only,) = queue.plan(prefill_budget=64)
    assert (only.n_tokens, only.reaches_end) == (10, True)


def test_prefill_never_holds_up_a_request_that_generates() -> None:
    generating, long = request("a", prompt(1)), request("b", prompt(1000))
    queue = scheduler(generating, long, parallel=4, n_batch=64)
    list(queue.admit())
    assert sizes(queue.plan(prefill_budget=1000)) == {"a": 1, "b": 63}


def test_the_budget_is_shared_by_all_prompts_the_shortest_first() -> None:
    long, short = request("long", prompt(101)), request("short", prompt(11, 500))
    queue = scheduler(long, short, parallel=4)
    list(queue.admit())
    assert sizes(queue.plan(prefill_budget=32)) == {"long": 22, "short": 10}


def test_the_oldest_prompt_gets_a_quarter_of_the_budget_however_short_the_others_are() -> None:
    prompts = [request("old", prompt(1000)), *(request(n, prompt(50, 2000)) for n in "abc")]
    queue = scheduler(*prompts, parallel=4)
    list(queue.admit())
    assert sizes(queue.plan(prefill_budget=40)) == {"old": 10, "a": 30}


def test_what_the_short_prompts_leave_goes_to_the_others() -> None:
    sizes_of_prompts = {"old": 101, "a": 11, "b": 21}
    queue = scheduler(*(request(n, prompt(k)) for n, k in sizes_of_prompts.items()), parallel=4)
    list(queue.admit())
    assert sizes(queue.plan(prefill_budget=512)) == {"old": 100, "a": 10, "b": 20}


@settings(max_examples=200)
@given(
    st.lists(st.tuples(st.integers(1, 50), st.booleans()), min_size=1, max_size=6),
    st.integers(1, 100),
    st.integers(6, 100),
)
def test_a_step_is_full_or_nothing_is_left_and_the_oldest_always_has_a_part(
    prompts: list[tuple[int, bool]], budget: int, n_batch: int
) -> None:
    requests = [
        request(str(number), prompt(size), max_new=int(answers))
        for number, (size, answers) in enumerate(prompts)
    ]
    queue = scheduler(*requests, parallel=6, n_batch=n_batch)
    for item, _ in list(queue.admit()):
        item.n_past = 0
    work = queue.plan(budget)
    planned = sizes(work)
    prefilling = [item for item in queue.running if item.n_prefill]
    generating = [item for item in queue.running if not item.n_prefill]
    assert len(planned) == len(work), "each request has one part"
    assert all(planned[item.request_id] == 1 for item in generating)
    assert all(1 <= item.n_tokens <= item.request.n_pending for item in work)
    room = min(budget, n_batch - len(generating))
    given_away = sum(planned.get(item.request_id, 0) for item in prefilling)
    assert given_away == min(room, sum(item.n_prefill for item in prefilling))
    if prefilling and room:
        oldest = prefilling[0]
        least = max(1, room // 4) if len(prefilling) > 1 else room
        assert planned[oldest.request_id] >= min(least, oldest.n_prefill)
        shortest_first = sorted(prefilling[1:], key=lambda item: item.n_prefill)
        parts = [planned.get(item.request_id, 0) == item.n_prefill for item in shortest_first]
        assert parts == sorted(parts, reverse=True), "a longer one was served before a shorter"


def test_a_step_has_no_more_tokens_than_a_batch_takes() -> None:
    """llama.cpp's batch is an array of `n_batch` tokens; `parallel` may be set above that."""
    queue = scheduler(*(request(name, prompt(1)) for name in "abcd"), parallel=4, n_batch=2)
    list(queue.admit())
    assert sum(item.n_tokens for item in queue.plan(prefill_budget=2)) <= 2


def test_generating_requests_do_not_count_against_the_prefill_budget() -> None:
    queue = scheduler(*(request(name, prompt(1)) for name in "abcd"), parallel=4)
    list(queue.admit())
    assert sizes(queue.plan(prefill_budget=1)) == dict.fromkeys("abcd", 1)


def test_nothing_runs_nothing_is_planned() -> None:
    assert scheduler(request("a", prompt(3))).plan(prefill_budget=64) == []


# ---------------------------------------------------------------- what is read from the disk


class Readings:
    """What is read ahead, and which of it is read."""

    def __init__(self, *done: int) -> None:
        self.done = set(done)
        self.asked: list[int] = []

    def __call__(self, tokens: Sequence[int], _n_live: int) -> Any:
        self.asked.append(tokens[0])
        return SimpleNamespace(poll=lambda: tokens[0] in self.done)


def reading_scheduler(
    readings: Readings, *requests: Request, parallel: int = 4, n_ctx: int = 9999
) -> Scheduler:
    queue = Scheduler(
        SequencePool(8),
        parallel=parallel,
        max_queue=9,
        n_batch=512,
        n_ctx=n_ctx,
        read_ahead=readings,
    )
    for item in requests:
        queue.submit(item)
    return queue


def three() -> tuple[Request, Request, Request]:
    first, slow, quick = (request(str(at), prompt(50, at)) for at in (1, 100, 200))
    return first, slow, quick


def test_while_a_prompt_is_read_others_run_and_those_behind_it_start() -> None:
    first, slow, quick = three()
    readings = Readings(200)
    queue = reading_scheduler(readings, first, slow, quick)
    assert admit(queue) == [first, quick]
    assert admit(queue) == []
    readings.done.add(100)
    assert admit(queue) == [slow]
    assert readings.asked == [100, 200]


@pytest.mark.parametrize("limit", [{"parallel": 2}, {"n_ctx": 150}])
def test_the_place_of_a_prompt_that_is_read_is_kept_for_it(limit: dict[str, int]) -> None:
    first, slow, quick = three()
    readings = Readings(200)
    queue = reading_scheduler(readings, first, slow, quick, **limit)
    assert admit(queue) == [first]
    readings.done.add(100)
    assert admit(queue) == [slow]


def test_a_prompt_that_runs_alone_is_not_waited_for() -> None:
    only = request("a", prompt(50))
    assert admit(reading_scheduler(Readings(), only)) == [only]


def test_a_prompt_that_is_read_starts_when_nothing_runs_any_more() -> None:
    first, slow, _ = three()
    queue = reading_scheduler(Readings(), first, slow)
    assert admit(queue) == [first]
    queue.remove(first)
    assert admit(queue) == [slow]


def test_nothing_is_read_for_a_prompt_that_waits_for_a_leader() -> None:
    head = prompt(200)
    first, slow, follower = request("a", head), request("b", prompt(50, 900)), request("c", head)
    readings = Readings()
    queue = reading_scheduler(readings, first, slow, follower)
    assert admit(queue) == [first]
    assert readings.asked == [900]
    assert follower.reading is None
