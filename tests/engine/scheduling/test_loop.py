"""The loop keeps its books right whatever comes, and no answer depends on its neighbours."""

from __future__ import annotations

import random
from collections import Counter

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.base.json_types import as_json
from app.protocol import (
    CacheMiss,
    Cancel,
    Chosen,
    ClearCache,
    Command,
    DescribeCache,
    Finished,
    Generate,
    MemoryTrimmed,
    Prefill,
    PromptProgress,
    SamplingParams,
    Started,
    Stats,
    TextDelta,
    TrimMemory,
)
from tests.engine.fake_disk import fake_disk
from tests.engine.fake_engine import (
    Engine,
    FollowerGuidance,
    TroubledGuidance,
    endless,
    generate,
    prefill,
)
from tests.engine.fake_llama import END, FORGETFUL, solo

# ---------------------------------------------------------------- one thing at a time


def test_requests_that_run_together_answer_as_they_would_alone() -> None:
    commands = [generate(str(number), [1, 2, number], seed=number) for number in range(1, 5)]
    engine = Engine([commands]).run()
    for command in commands:
        engine.assert_answered(command)


def test_answers_to_one_prompt_prefill_it_once() -> None:
    prompt, n_answers = [1] * 50, 3
    command = generate("a", prompt, 1, n=n_answers)
    engine = Engine([[command]]).run()
    engine.assert_answered(command)
    assert engine.cells.n_decoded == len(prompt) - 1 + n_answers
    assert [end.usage.cached_tokens for end in engine.finished("a")] == [0, 49, 49]
    assert engine.started() == ["a"], "a command starts once"


def test_answers_share_a_prompt_that_leaves_no_room_for_copies_of_it() -> None:
    command = generate("a", [1] * 80, 5, n=4)
    engine = Engine([[command]], n_ctx=100).run()
    engine.assert_answered(command)


def test_an_idle_sequence_leaves_the_cache_when_another_request_starts() -> None:
    before, (prompt, seed) = generate("a", [2] * 60, 1), endless(60, 10)
    after = generate("b", prompt, 10, seed=seed)
    engine = Engine([[before], [], [], [], [after]], n_ctx=100).run()
    assert engine.cells.n_full == 0
    assert engine.cells.n_used < 60 + 60
    for command in (before, after):
        engine.assert_answered(command)


@pytest.mark.parametrize("parallel", [1, 4])
def test_a_conversation_that_left_the_cache_comes_back_without_prefill(parallel: int) -> None:
    first, other = generate("a", [1] * 60, 1), generate("b", [2] * 60, 1)
    again = generate("c", [1] * 60 + [3] * 5, 1)
    script: list[list[Command]] = [[first], [], [], [], [other], [], [], [], [again]]
    engine = Engine(script, n_ctx=100, parallel=parallel, idle_bytes=200).run()
    assert engine.finished("c")[0].usage.cached_tokens == 60
    engine.assert_answered(again)


def test_without_memory_for_idle_conversations_they_are_forgotten() -> None:
    first, other = generate("a", [1] * 60, 1), generate("b", [2] * 60, 1)
    again = generate("c", [1] * 60, 1)
    script: list[list[Command]] = [[first], [], [], [], [other], [], [], [], [again]]
    engine = Engine(script, idle_bytes=0, parallel=1).run()
    assert engine.finished("c")[0].usage.cached_tokens == 0
    engine.assert_answered(again)


def test_a_full_cache_pauses_the_youngest_and_all_answers_are_whole() -> None:
    older, younger = endless(30, 40), endless(30, 40, start=2)
    commands = [
        generate("older", older[0], 40, seed=older[1]),
        generate("younger", younger[0], 40, seed=younger[1]),
    ]
    engine = Engine([[commands[0]], [commands[1]]], n_ctx=100).run()
    assert engine.cells.n_full > 0
    assert engine.started() == ["older", "younger"], "a pause is no new start"
    assert [e.request_id for e in engine.events if isinstance(e, Finished)] == ["older", "younger"]
    for command in commands:
        engine.assert_answered(command)


def test_quick_tokens_leave_together_but_the_first_and_the_last_at_once() -> None:
    prompt, seed = endless(10, 30)
    command = generate("a", prompt, 30, seed=seed)
    each = Engine([[command]]).run()
    together = Engine([[command]], stream_interval_s=3600.0).run()
    together.assert_answered(command)
    assert len(each.sent) >= 30
    assert len(set(together.sent)) <= 7
    assert together.sent[-1] == len(together.events)
    first = next(at for at, event in enumerate(together.events) if isinstance(event, TextDelta))
    alone = together.events[first : next(sent for sent in together.sent if sent > first)]
    assert [type(event) for event in alone] == [TextDelta, Chosen], "the first token leaves alone"


def test_a_request_may_fill_the_whole_context() -> None:
    prompt, seed = endless(10, 30)
    command = generate("a", prompt, None, seed=seed)
    engine = Engine([[command]], n_ctx=40).run()
    engine.assert_answered(command)
    assert engine.finished("a")[0].reason == "length"


@pytest.mark.parametrize("can_cut", [True, False])
def test_a_cancel_ends_a_long_step_and_others_go_on(can_cut: bool) -> None:
    cancelled, other = generate("a", [1] * 300), generate("b", [2] * 200)
    engine = Engine(
        [[cancelled, other], [Cancel(request_id="a")]], n_batch=256, can_cut=can_cut
    ).run()
    assert engine.cells.n_aborted == (1 if can_cut else 0)
    assert engine.finished("a") == []
    engine.assert_answered(other)


def test_cancels_of_others_end_no_step_and_no_two_steps_in_a_row_are_given_up() -> None:
    prompts = {name: generate(name, [number] * 200) for number, name in enumerate("abcd", 1)}
    script: list[list[Command]] = [list(prompts.values()), [Cancel(request_id="nobody")]]
    script += [[Cancel(request_id=name)] for name in "abc"]
    engine = Engine(script, n_batch=64).run()
    assert engine.cells.n_aborted < 3
    assert engine.cells.n_decoded >= 199
    engine.assert_answered(prompts["d"])


def test_a_request_that_arrives_in_the_last_step_of_another_is_not_forgotten() -> None:
    engine = Engine([[prefill("a", [1] * 60)], [generate("b", [2] * 5)]], n_batch=256).run()
    assert engine.finished("b")


def test_what_arrives_in_a_long_step_is_done_after_it() -> None:
    long, short = generate("a", [1] * 300), generate("b", [2] * 3)
    engine = Engine([[long], [short]], n_batch=256).run()
    assert engine.cells.n_aborted == 0
    for command in (long, short):
        engine.assert_answered(command)


def test_a_cancelled_command_ends_all_its_answers_and_no_other() -> None:
    long = generate("a", [1] * 300, n=3)
    other = generate("b", [2] * 5)
    script: list[list[Command]] = [[long, other], [], [Cancel(request_id="a")]]
    engine = Engine(script, n_batch=16).run()
    assert engine.finished("a") == []
    engine.assert_answered(other)


def test_an_unknown_request_is_cancelled_in_vain() -> None:
    command = generate("a", [1])
    engine = Engine([[command, Cancel(request_id="b")]]).run()
    engine.assert_answered(command)


def test_a_full_queue_refuses_the_command_as_a_whole_and_says_when_to_come_back() -> None:
    fits, too_many = generate("a", [1] * 9), generate("c", [1] * 9, n=3)
    engine = Engine([[fits, generate("b", [2]), too_many]], parallel=1, max_queue=2).run()
    (failed,) = engine.failed("c")
    assert failed.kind == "QueueFull"
    assert failed.retry_after_s is not None
    assert failed.retry_after_s >= 1
    assert engine.finished("c") == []
    engine.assert_answered(fits)


def test_a_deadline_ends_running_and_waiting_requests_with_one_error_each() -> None:
    commands = [generate("a", [1] * 9, n=3), generate("b", [2])]
    engine = Engine([commands], parallel=1, deadline_s=1e-9).run()
    for command in commands:
        (failed,) = engine.failed(command.request_id)
        assert failed.kind == "DeadlineExceeded"
        assert engine.finished(command.request_id) == []


@pytest.mark.parametrize("n_tokens", [1, 2, 4])
def test_a_grammar_that_is_too_much_ends_all_answers_with_one_error(n_tokens: int) -> None:
    prompt, seed = endless(10, 12)
    failing = generate("a", prompt, 12, seed=seed, n=3)
    other = generate("b", prompt, 12, seed=seed)
    engine = Engine([[failing], [], [], [other]], planner=TroubledGuidance(n_tokens)).run()
    for request_id in "ab":
        (failed,) = engine.failed(request_id)
        assert failed.kind == "GrammarFailed"
        assert engine.finished(request_id) == []


def test_progress_is_reported_to_the_end_of_the_prompt_and_to_nobody_else() -> None:
    asking = Generate(
        request_id="a",
        messages=as_json([{"content": [1] * 40}]),
        sampling=SamplingParams(seed=1),
        max_tokens=2,
        n=2,
        report_progress=True,
    )
    engine = Engine([[asking, generate("b", [2] * 40)]], n_batch=16).run()
    seen = [event for event in engine.events if isinstance(event, PromptProgress)]
    processed = [event.processed for event in seen]
    assert {(event.request_id, event.total) for event in seen} == {("a", 40)}
    assert processed == sorted(set(processed))
    assert processed[-1] == 40


def test_a_prompt_kept_ready_is_there_for_the_answer() -> None:
    ready, command = prefill("a", [1, 2, 3]), generate("b", [1, 2, 3, 4, 5])
    engine = Engine([[ready], [], [], [command]]).run()
    assert engine.finished("a")[0].usage.completion_tokens == 0
    assert engine.finished("b")[0].usage.cached_tokens == 3
    engine.assert_answered(command)


def test_a_batch_smaller_than_the_number_of_running_answers_serves_them_all() -> None:
    commands = [generate(str(number), [number]) for number in range(1, 5)]
    engine = Engine([commands], n_batch=2, parallel=4).run()
    for command in commands:
        engine.assert_answered(command)


def test_where_memory_is_short_idle_conversations_go_and_running_requests_stay() -> None:
    prompt, seed = endless(9, 20, start=2)
    idle, running = generate("a", [1] * 60, 1), generate("b", prompt, 20, seed=seed)
    again = generate("c", [1] * 60)
    trim = TrimMemory(request_id="t")
    script: list[list[Command]] = [[idle], [], [], [], [running], [], [trim], [again]]
    engine = Engine(script, parallel=1, idle_bytes=200).run()
    (trimmed,) = [event for event in engine.events if isinstance(event, MemoryTrimmed)]
    assert (trimmed.entries, trimmed.bytes > 0) == (1, True)
    assert engine.finished("c")[0].usage.cached_tokens == 0
    engine.assert_answered(running)
    engine.assert_answered(again)


def test_what_prompts_left_behind_goes_where_memory_is_short() -> None:
    handler = Engine([[TrimMemory(request_id="t")]]).run().command_handler
    assert handler.prompts.n_forgotten == handler.dry.n_forgotten == 1


# ---------------------------------------------------------------- why a prompt was not cached


def misses(engine: Engine) -> dict[str, CacheMiss | None]:
    return {item.request_id: item.miss for item in engine.events if isinstance(item, Started)}


def explained(request_id: str, prompt: list[int]) -> Generate:
    return msgspec.structs.replace(generate(request_id, prompt, 1), explain_cache=True)


@pytest.mark.parametrize("parallel", [1, 2, 4])
def test_a_request_that_waited_is_told_what_was_cached_when_it_started(parallel: int) -> None:
    first = [generate(str(number), [1] * 30 + [2] * 10, 1) for number in range(parallel)]
    waits = explained("waits", [1] * 30 + [3] * 10)
    miss = misses(Engine([[*first, waits]], parallel=parallel).run())["waits"]
    assert miss is not None
    assert miss.index == 30
    assert (miss.prompt[:10], miss.cached[:10]) == ("d" * 10, "c" * 10)


@pytest.mark.parametrize("idle_bytes", [0, 100])
@pytest.mark.parametrize("parallel", [1, 2])
def test_the_sequence_that_a_request_takes_over_counts_as_what_it_held(
    parallel: int, idle_bytes: int
) -> None:
    script: list[list[Command]] = [
        [generate("a", [1] * 30 + [2] * 10, 1)],
        *([] for _ in range(5)),
        [explained("b", [1] * 30 + [3] * 10)],
    ]
    miss = misses(Engine(script, parallel=parallel, idle_bytes=idle_bytes).run())["b"]
    assert miss is not None
    assert (miss.index, miss.cached[:10]) == (30, "c" * 10)


def test_where_nothing_is_cached_or_nothing_differs_there_is_nothing_to_explain() -> None:
    script: list[list[Command]] = [
        [explained("a", [1] * 30)],
        *([] for _ in range(5)),
        [explained("b", [1] * 30)],
    ]
    assert misses(Engine(script).run()) == {"a": None, "b": None}


def test_a_request_that_did_not_ask_is_told_nothing_and_nothing_is_looked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "app.engine.scheduling.admission.cache_miss", lambda *_: pytest.fail("nobody asked")
    )
    prompts = ([1] * 30, [1] * 20 + [2] * 10)
    commands: list[list[Command]] = [[generate("a", prompts[0])], [generate("b", prompts[1])]]
    assert misses(Engine(commands).run()) == {"a": None, "b": None}


# ---------------------------------------------------------------- the disk tier


@pytest.mark.parametrize("can_cut", [True, False])
def test_what_an_engine_knew_at_its_end_is_known_to_the_next(can_cut: bool) -> None:
    disk, store = fake_disk(can_cut=can_cut, dice=None)
    before = generate("a", [1] * 20)
    first = Engine([[before]], disk=disk, can_cut=can_cut, idle_bytes=0).run()
    history = [1] * 20 + solo([1] * 20, 1, 8)
    known = [token for token in history if token != END]
    assert any(held[: len(known) - 1] == tuple(known[:-1]) for held in store.entries)
    after = generate("b", [*known, 2, 2, 2])
    engine = Engine([[after]], disk=disk, can_cut=can_cut, idle_bytes=0).run()
    end = engine.finished("b")[0]
    assert end.timings.tier == "disk"
    assert end.usage.cached_tokens >= first.finished("a")[0].usage.prompt_tokens
    engine.assert_answered(after)


@pytest.mark.parametrize("can_cut", [True, False])
def test_conversations_that_begin_alike_share_their_head(can_cut: bool) -> None:
    disk, store = fake_disk(can_cut=can_cut, dice=None)
    head = [1, 2, 3] * 8  # half of each prompt is its head
    Engine([[generate("a", [*head, *[1] * 24])], [], [], []], disk=disk, can_cut=can_cut).run()
    assert tuple(head) in store.entries
    command = generate("b", [*head, *[2] * 24])
    engine = Engine([[command]], disk=disk, can_cut=can_cut).run()
    assert engine.finished("b")[0].usage.cached_tokens >= len(head)
    engine.assert_answered(command)


def test_a_prefill_ends_when_its_prompt_is_on_the_disk() -> None:
    disk, store = fake_disk(can_cut=True, dice=None)
    engine = Engine([[prefill("a", [1] * 9)], [], [prefill("b", [1] * 9)]], disk=disk).run()
    assert [end.saved for name in "ab" for end in engine.finished(name)] == [True, True]
    assert list(store.entries) == [(1,) * 9]
    assert not Engine([[prefill("a", [1] * 9)]]).run().finished("a")[0].saved


def test_a_prompt_saved_beside_others_that_begin_alike_is_its_own() -> None:
    """Leases of one step promise tokens that their sequences do not hold yet."""
    disk, _ = fake_disk(can_cut=True, dice=None)
    shared, other = [1, 2, 3] * 8, [5] * 30
    script: list[list[Command]] = [
        [generate("x", other)],
        *([] for _ in range(30)),
        [generate("y", [*shared, *[2] * 9], 60)],
        [],
        [prefill("p", shared), generate("z", [*shared, 6, 6])],
    ]
    engine = Engine(script, parallel=3, disk=disk, idle_bytes=0).run()
    assert engine.finished("p")[0].saved


@pytest.mark.parametrize("seed", range(8))
def test_a_saved_prompt_is_reported_at_once_whatever_else_arrives(seed: int) -> None:
    disk, _ = fake_disk(can_cut=True, dice=random.Random(seed))
    asked: list[list[Command]] = [[DescribeCache(request_id=str(i))] for i in range(seed)]
    engine = Engine([[prefill("a", [1] * 20)], *asked], disk=disk).run()
    assert engine.finished("a")[0].saved


def test_a_conversation_too_large_for_memory_goes_to_the_disk_when_it_has_to_leave() -> None:
    disk, store = fake_disk(can_cut=True, dice=None)
    large = [1] * 40
    script: list[list[Command]] = [
        [generate("a", large, 1)],
        *([] for _ in range(30)),
        [generate("b", [2] * 40, 1)],
    ]
    Engine(script, parallel=1, n_ctx=100, idle_bytes=20, disk=disk).run()
    assert any(held[:40] == (1,) * 40 for held in store.entries)


def test_what_quiet_moments_save_is_told_before_the_engine_sleeps() -> None:
    engine = Engine([[generate("a", [1] * 20, 1)], [], [], []]).run()
    last = next(event for event in reversed(engine.events) if isinstance(event, Stats))
    assert last.idle_bytes > 0


def test_what_was_forgotten_is_not_written_afterwards() -> None:
    disk, store = fake_disk(can_cut=True, dice=None)
    script: list[list[Command]] = [
        [generate("a", [1] * 40, 1)],
        *([] for _ in range(30)),
        [ClearCache(request_id="c")],
    ]
    Engine(script, disk=disk).run()
    assert not store.entries


def test_what_leaves_memory_because_it_is_short_goes_to_the_disk() -> None:
    disk, store = fake_disk(can_cut=True, dice=None)
    trim = TrimMemory(request_id="t")
    script: list[list[Command]] = [
        [generate("a", [1] * 60, 1)],
        *([] for _ in range(30)),
        [trim],
    ]
    engine = Engine(script, disk=disk, idle_bytes=200).run()
    (trimmed,) = [event for event in engine.events if isinstance(event, MemoryTrimmed)]
    assert trimmed.entries == 1
    assert any(len(tokens) >= 60 for tokens in store.entries)


# ---------------------------------------------------------------- several tokens at once


def test_guesses_save_steps_and_change_nothing() -> None:
    prompt, n_answer = [1, 2, 3], 100
    seed = next(s for s in range(FORGETFUL, 2000) if END not in solo(prompt, s, n_answer))
    n_steps = {}
    for speculate in (False, True):
        command = generate("a", prompt, n_answer, seed=seed, speculate=speculate)
        engine = Engine([[command]]).run()
        engine.assert_answered(command)
        n_steps[speculate] = engine.cells.n_steps
    assert n_steps[True] < n_steps[False] / 2


def test_guesses_leave_room_for_others_in_a_full_cache() -> None:
    commands = [generate(str(n), [1, 2], 40, seed=FORGETFUL + n) for n in range(4)]
    engine = Engine([commands], n_ctx=90, idle_bytes=0).run()
    for command in commands:
        engine.assert_answered(command)


def test_a_model_that_cannot_forget_makes_no_guesses() -> None:
    command = generate("a", [1, 2, 3], 60, seed=FORGETFUL + 3)
    engine = Engine([[command]], can_cut=False).run()
    engine.assert_answered(command)


def test_forced_tokens_are_decoded_together() -> None:
    prompt, seed = [1, 2, 3], 5
    command = generate("a", prompt, 60, seed=seed, speculate=False)
    engine = Engine([[command]], planner=FollowerGuidance()).run()
    engine.assert_answered(command)
    (end,) = engine.finished("a")
    assert engine.cells.n_steps < end.usage.completion_tokens


# ---------------------------------------------------------------- any workload


def any_command(dice: random.Random, request_id: str, n_ctx: int) -> Generate | Prefill:
    stem = [1, 2] * n_ctx
    n_prompt = dice.randrange(1, n_ctx)
    n_shared = dice.randrange(n_prompt + 1)
    prompt = stem[:n_shared] + [dice.randrange(1, 4) for _ in range(n_prompt - n_shared)]
    if dice.random() < 0.25:
        return prefill(request_id, prompt)
    max_tokens = dice.choice([None, 1, 3, 10])
    seed = dice.randrange(9) + dice.choice([0, FORGETFUL])
    return generate(request_id, prompt, max_tokens, seed=seed, n=dice.choice([1, 3]))


@settings(max_examples=200)
@example(  # the youngest fills the batch and does not fit, again and again
    seed=1,
    n_ctx=19,
    n_batch=4,
    parallel=2,
    max_queue=3,
    idle_bytes=0,
    can_cut=False,
    window=0,
    has_disk=False,
    is_guided=True,
)
@given(
    seed=st.integers(0, 2**32),
    n_ctx=st.integers(8, 60),
    n_batch=st.integers(4, 32),
    parallel=st.integers(1, 4),
    max_queue=st.sampled_from([0, 3, 64]),
    idle_bytes=st.sampled_from([0, 20, 1000]),
    can_cut=st.booleans(),
    window=st.sampled_from([0, 0, 1, 8]),
    has_disk=st.booleans(),
    is_guided=st.booleans(),
)
@example(  # an answer filled the batch, was preempted for want of room and came back, for ever
    seed=368443924,
    n_ctx=54,
    n_batch=4,
    parallel=4,
    max_queue=64,
    idle_bytes=20,
    can_cut=False,
    window=0,
    has_disk=False,
    is_guided=True,
)
def test_any_workload_is_answered_as_if_each_request_were_alone(
    seed: int,
    n_ctx: int,
    n_batch: int,
    parallel: int,
    max_queue: int,
    idle_bytes: int,
    can_cut: bool,
    window: int,
    has_disk: bool,
    is_guided: bool,
) -> None:
    dice = random.Random(seed)
    commands = [any_command(dice, str(number), n_ctx) for number in range(dice.randrange(1, 12))]
    cancelled = {item.request_id for item in commands if dice.random() < 0.15}
    script: list[list[Command]] = [[] for _ in range(60)]
    last_step = dice.choice([2, 30])
    for command in commands:
        at = dice.randrange(last_step)
        script[at].append(command)
        if command.request_id in cancelled:
            script[at + dice.randrange(30)].append(Cancel(request_id=command.request_id))
        if dice.random() < 0.2:
            script[at + dice.randrange(30)].append(TrimMemory(request_id="trim"))
    engine = Engine(
        script,
        n_ctx=n_ctx,
        n_batch=n_batch,
        parallel=parallel,
        max_queue=max_queue,
        idle_bytes=idle_bytes,
        can_cut=can_cut,
        window=window,
        disk=fake_disk(can_cut=can_cut and not window, dice=dice)[0] if has_disk else None,
        dice=dice,
        planner=FollowerGuidance() if is_guided else None,
    ).run()

    ends = Counter(event.request_id for event in engine.events if isinstance(event, Finished))
    for command in commands:
        request_id = command.request_id
        failures = [failure.kind for failure in engine.failed(request_id)]
        n_answers = command.n if isinstance(command, Generate) else 1
        if failures:
            assert (failures, ends[request_id]) == (["QueueFull"], 0)
        elif request_id in cancelled:
            assert ends[request_id] <= n_answers
        elif isinstance(command, Generate):
            engine.assert_answered(command)
        else:
            assert ends[request_id] == 1


@pytest.mark.parametrize("max_queue", [0, 64])
def test_nothing_is_left_after_many_abandoned_requests(max_queue: int) -> None:
    dice = random.Random(5)
    script: list[list[Command]] = []
    for number in range(500):
        command = any_command(dice, str(number), 50)
        script += [[command], *([] for _ in range(dice.randrange(3)))]
        script[-1].append(Cancel(request_id=command.request_id))
    last = generate("last", [3] * 20)
    engine = Engine([*script, [last]], n_ctx=50, max_queue=max_queue, dice=dice).run()
    engine.assert_answered(last)
