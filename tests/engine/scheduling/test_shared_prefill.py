"""What several prompts begin with is prefilled once: the others wait for it and share it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.engine.kv.sequences import SequencePool
from app.engine.scheduling.request import Request
from app.engine.scheduling.scheduler import MIN_SHARED_TOKENS, Scheduler
from app.protocol import Cancel, Command, Generate
from tests.engine.fake_engine import Engine, generate
from tests.engine.scheduling.test_scheduler import admit, decode, prompt, request, scheduler

HEAD = prompt(200)
N_STEP = 50


def asked(name: str, n_rest: int = 5, head: list[int] = HEAD) -> Request:
    first = 1000 * (1 + sum(map(ord, name)))
    return request(name, [*head, *prompt(n_rest, first)])


def step(queue: Scheduler) -> int:
    """Do what the loop does for a step; return the tokens that it prefilled."""
    work = queue.plan(N_STEP)
    decode(work)
    return sum(item.n_tokens for item in work if item.is_prefill)


# ---------------------------------------------------------------- who waits


def test_a_request_waits_for_the_one_that_prefills_its_head() -> None:
    first, second = asked("a"), asked("b")
    queue = scheduler(first, second, parallel=4)
    assert admit(queue) == [first]
    for _ in range(3):
        step(queue)
        assert admit(queue) == []
    step(queue)
    assert admit(queue) == [second]
    assert second.n_past == len(HEAD)


def test_it_starts_when_the_head_is_there_and_not_the_whole_prompt() -> None:
    long, short = asked("a", n_rest=1000), asked("b")
    queue = scheduler(long, short, parallel=4)
    admit(queue)
    for _ in range(4):
        step(queue)
    assert long.n_prefill
    assert admit(queue) == [short]


def test_those_behind_it_go_on() -> None:
    first, follower, other = asked("a"), asked("b"), request("c", prompt(90, 5000))
    queue = scheduler(first, follower, other, parallel=4)
    assert admit(queue) == [first, other]
    assert list(queue.waiting) == [follower]


@pytest.mark.parametrize("n_same", [0, 1, MIN_SHARED_TOKENS - 1])
def test_a_short_beginning_is_not_waited_for(n_same: int) -> None:
    head = prompt(n_same)
    first, second = asked("a", 200, head), asked("b", 200, head)
    assert admit(scheduler(first, second, parallel=4)) == [first, second]


def test_what_is_there_already_is_not_waited_for() -> None:
    before = asked("x")
    first, second = asked("a", 300), asked("b", 300)
    queue = scheduler(before, parallel=4)
    admit(queue)
    while before.n_prefill:
        step(queue)
    queue.submit(first)
    queue.submit(second)
    assert admit(queue) == [first, second]


def test_what_the_first_one_found_is_there_for_all() -> None:
    first, second = asked("a", 300), asked("b", 300)
    queue = uncuttable(first)
    admit(queue)
    first.n_past = first.n_cached = len(HEAD) - 10
    queue.submit(second)
    assert admit(queue) == [second]


def test_what_lies_in_memory_is_not_waited_for() -> None:
    first, second = asked("a"), asked("b")
    queue = Scheduler(
        SequencePool(8),
        parallel=4,
        max_queue=9,
        n_batch=512,
        n_ctx=9999,
        n_cached=lambda tokens: len(HEAD) if tokens == second.reusable else 0,
    )
    queue.submit(first)
    queue.submit(second)
    assert admit(queue) == [first, second]


def test_the_same_prompt_is_prefilled_once() -> None:
    first, second = (request(name, HEAD) for name in "ab")
    queue = scheduler(first, second, parallel=4)
    assert admit(queue) == [first]
    while first.n_prefill:
        step(queue)
    assert admit(queue) == [second]
    assert second.n_past == len(HEAD) - 1


def test_of_several_the_one_that_shares_the_most_is_waited_for() -> None:
    longer = [*HEAD, *prompt(200, 7000)]
    first, close, follower = asked("a", 300), asked("b", 300, longer), asked("c", 5, longer)
    queue = scheduler(first, parallel=4)
    admit(queue)
    step(queue)
    queue.submit(close)
    queue.submit(follower)
    while follower in queue.waiting:
        admit(queue)
        step(queue)
    assert follower.n_past >= len(longer)


def test_several_answers_wait_with_the_first_of_them() -> None:
    other, leader = asked("a"), asked("n")
    sibling = request("n", leader.tokens, leader=leader)
    queue = scheduler(other, leader, sibling, parallel=4)
    assert admit(queue) == [other]
    while other.n_prefill:
        step(queue)
    assert admit(queue) == [leader]
    step(queue)
    assert admit(queue) == [sibling]


# ---------------------------------------------------------------- leaders that go away


@pytest.mark.parametrize("n_steps", [0, 2])
def test_when_it_is_cancelled_the_next_one_takes_over_and_others_wait_for_that(
    n_steps: int,
) -> None:
    first, second, third = asked("a"), asked("b"), asked("c")
    queue = scheduler(first, second, third, parallel=4)
    admit(queue)
    for _ in range(n_steps):
        step(queue)
    queue.remove(first)
    assert admit(queue) == [second]
    assert second.n_past == n_steps * N_STEP
    assert list(queue.waiting) == [third]


def test_one_that_is_held_back_is_not_waited_for() -> None:
    older = request("o", prompt(300, 5000), received_s=0.0)
    first, second = asked("a"), asked("b")
    first.clock.received_s, second.clock.received_s = 1.0, 2.0
    queue = scheduler(older, first, second, parallel=4)
    admit(queue)
    assert queue.preempt() is first
    queue.remove(older)
    assert admit(queue) == [first]
    queue.remove(first)
    assert admit(queue) == [second]


# ---------------------------------------------------------------- sequences that cannot be cut


def uncuttable(*requests: Request) -> Scheduler:
    queue = Scheduler(
        SequencePool(8), parallel=4, max_queue=9, n_batch=512, n_ctx=9999, can_cut=False
    )
    for item in requests:
        queue.submit(item)
    return queue


def test_a_sequence_that_cannot_be_cut_is_saved_where_another_prompt_parts_from_it() -> None:
    first, second = asked("a", 300), asked("b", 300)
    queue = uncuttable(first, second)
    assert admit(queue) == [first]
    assert list(first.checkpoints) == [len(HEAD)]
    while first.n_past < len(HEAD):
        assert admit(queue) == []
        step(queue)
    assert first.n_past == len(HEAD), "the step ends there"
    assert admit(queue) == [second]


def test_a_checkpoint_that_comes_first_is_where_it_is_shared() -> None:
    longer = [*HEAD, *prompt(100, 7000)]
    first, second = asked("a", 300, longer), asked("b", 300, longer)
    queue = uncuttable(first)
    assert admit(queue) == [first]
    first.checkpoints = {len(HEAD): False}
    queue.submit(second)
    assert admit(queue) == []
    assert (second.leader, second.n_shared) == (first, len(HEAD))


def test_a_prompt_that_parts_before_the_checkpoint_gets_one_of_its_own() -> None:
    first, second = asked("a", 300), asked("b", 300)
    queue = uncuttable(first)
    admit(queue)
    first.checkpoints = {len(HEAD) + 10: False}
    queue.submit(second)
    assert admit(queue) == []
    assert list(first.checkpoints) == [len(HEAD), len(HEAD) + 10]


# ---------------------------------------------------------------- all of them


CLIENT = st.tuples(st.integers(0, 2), st.integers(1, 120), st.integers(0, 6), st.booleans())


@settings(max_examples=100)
@given(st.lists(CLIENT, min_size=1, max_size=7), st.integers(1, 4), st.booleans())
def test_every_request_is_started_in_the_end(
    clients: list[tuple[int, int, int, bool]], parallel: int, can_cut: bool
) -> None:
    """Clients come at any step, share one of three heads, and some are cancelled on the way."""
    heads = [prompt(150), [*prompt(90), *prompt(90, 4000)], prompt(70, 9000)]
    pool = SequencePool(parallel)
    queue = Scheduler(
        pool, parallel=parallel, max_queue=9, n_batch=512, n_ctx=9999, can_cut=can_cut
    )
    requests = [
        request(f"{at}", [*heads[head], *prompt(n_rest, 20_000 + 1000 * at)])
        for at, (head, n_rest, _, _) in enumerate(clients)
    ]
    started: list[Request] = []
    for n_step in range(500):
        for item, (_, _, comes_at, _) in zip(requests, clients, strict=True):
            if comes_at == n_step:
                queue.submit(item)
        started += admit(queue)
        step(queue)
        for item, (_, _, comes_at, is_cancelled) in zip(requests, clients, strict=True):
            is_late = is_cancelled and n_step > comes_at + 1
            is_done = item in queue.running and not item.n_prefill
            if is_done or (is_late and item in queue.waiting) or (is_late and item.slot):
                queue.remove(item)
        if n_step > 6 and queue.is_idle:
            break
    assert queue.is_idle
    kept = [item for item, client in zip(requests, clients, strict=True) if not client[3]]
    assert all(item in started for item in kept)


@settings(max_examples=100)
@given(st.lists(st.integers(1, 150), min_size=1, max_size=4), st.integers(64, 300))
def test_clients_with_one_head_prefill_it_once(rests: list[int], n_head: int) -> None:
    head = prompt(n_head)
    requests = [asked(name, n_rest, head) for name, n_rest in zip("abcd", rests, strict=False)]
    queue = scheduler(*requests, parallel=4)
    n_prefilled = 0
    while any(item in queue.waiting or item.n_prefill for item in requests):
        admit(queue)
        n_prefilled += step(queue)
    assert n_prefilled == n_head + sum(rests) - len(rests), "the last token is decoded alone"


# ---------------------------------------------------------------- the loop


def clients(n_clients: int, n_head: int = 300) -> list[Generate]:
    return [
        generate(str(number), [*([1, 2, 3] * (n_head // 3)), *[4 + number] * 9], 4)
        for number in range(n_clients)
    ]


def prefilled(engine: Engine, commands: list[Generate]) -> int:
    usages = [end.usage for item in commands for end in engine.finished(item.request_id)]
    return sum(usage.prompt_tokens - usage.cached_tokens for usage in usages)


@pytest.mark.parametrize("can_cut", [True, False])
def test_a_head_is_prefilled_once_for_all_clients(can_cut: bool) -> None:
    commands = clients(4)
    engine = Engine([commands], n_ctx=4000, can_cut=can_cut).run()
    for command in commands:
        engine.assert_answered(command)
    assert prefilled(engine, commands) <= 300 + 4 * 9 + 64


@pytest.mark.parametrize("n_steps", [1, 3])
def test_a_cancelled_head_is_taken_over_where_it_was(n_steps: int) -> None:
    first, *others = clients(4)
    quiet: list[list[Command]] = [[] for _ in range(n_steps)]
    script: list[list[Command]] = [[first, *others], *quiet, [Cancel(request_id="0")]]
    engine = Engine(script, n_ctx=4000).run()
    assert not engine.finished("0")
    for command in others:
        engine.assert_answered(command)
    assert prefilled(engine, others) <= 300 + 3 * 9 + 64
