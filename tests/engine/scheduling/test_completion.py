"""A request ends once: its client gets all that was held back, and what it held is given back."""

from __future__ import annotations

import random
from itertools import pairwise

import msgspec
import pytest

from app.base.json_types import as_json
from app.chat.parsing.reasoning import ReasoningParser
from app.chat.parsing.reasoning_tags import ReasoningTags
from app.chat.tool_formats.hermes import HermesParser
from app.engine.decode.answer import Answer
from app.engine.prompt.history import AnswersKept, History
from app.errors import EnvironmentFailure
from app.protocol import Cancel, Chosen, Command, Finished, Prefill, TextDelta
from tests.engine.fake_disk import fake_disk
from tests.engine.fake_engine import Engine, endless, generate, prefill
from tests.engine.fake_llama import shown


def running(engine: Engine, *commands: Command, n_steps: int = 3) -> Engine:
    for command in commands:
        engine.command_handler.handle(command)
    for _ in range(n_steps):
        engine.loop.step()
    return engine


def test_the_last_text_and_the_last_tokens_come_before_the_end() -> None:
    prompt, seed = endless(5, 9)
    engine = Engine([[generate("a", prompt, 9, seed=seed)]]).run()
    mine = [e for e in engine.events if isinstance(e, (TextDelta, Chosen, Finished))]
    assert [type(event) for event in mine[-2:]] == [Chosen, Finished]
    assert sum(isinstance(event, Finished) for event in mine) == 1
    chosen = [token for e in mine if isinstance(e, Chosen) for token in e.tokens]
    assert shown(chosen) == engine.text("a")


def test_the_end_tells_what_was_counted_and_how_long_it_took() -> None:
    prompt, seed = endless(5, 9)
    (end,) = Engine([[generate("a", prompt, 9, seed=seed)]]).run().finished("a")
    assert (end.usage.prompt_tokens, end.usage.completion_tokens) == (5, 9)
    assert end.timings.predicted_n == 9
    assert end.timings.ttft_ms > 0


CALL = '<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>\n'
BROKEN = '<tool_call>\n{"name": "f", "arguments": {"a": '


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (CALL, "tool_calls"),
        (CALL + CALL, "tool_calls"),
        (BROKEN, "stop"),
        (CALL + BROKEN, "stop"),
        (BROKEN + CALL, "stop"),
        ("Hi", "stop"),
    ],
)
def test_only_whole_calls_are_the_reason_for_an_end(text: str, reason: str) -> None:
    prompt, seed = endless(5, 9)
    engine = running(Engine([]), generate("a", prompt, 9, seed=seed))
    (request,) = engine.scheduler.running
    request.answer = Answer("a", (), HermesParser())
    list(request.answer.feed(text.encode()))
    engine.completion.finish(request, "stop")
    assert engine.finished("a")[0].reason == reason


def test_a_retired_request_gives_back_its_sequence_and_its_sampler() -> None:
    prompt, seed = endless(5, 9)
    engine = running(Engine([]), generate("a", prompt, 9, seed=seed))
    (request,) = engine.scheduler.running
    engine.completion.retire(request)
    assert engine.scheduler.is_idle
    assert (request.slot, request.sampler) == (None, None)
    assert [sampler.n_closed for sampler in engine.command_handler.samplers] == [1]
    assert engine.finished("a") == []
    assert engine.outbox.is_due


def test_a_failure_is_told_once_and_ends_all_answers_to_the_command() -> None:
    prompt, seed = endless(5, 9)
    engine = running(
        Engine([]), generate("a", prompt, 9, seed=seed, n=3), generate("b", prompt, 9, seed=seed)
    )
    failing = engine.scheduler.find("a")
    engine.completion.fail(failing[1], EnvironmentFailure, "the KV cache is full")
    (failed,) = engine.failed("a")
    assert (failed.kind, failed.message) == ("EnvironmentFailure", "the KV cache is full")
    assert {item.request_id for item in engine.scheduler.running} == {"b"}


def test_a_deadline_spares_profiles_and_requests_in_time() -> None:
    profile = Prefill(request_id="p", messages=as_json([{"content": [1] * 9}]), profile="support")
    engine = running(Engine([], deadline_s=10.0), profile, generate("a", [2] * 9), n_steps=0)
    (kept, ended) = engine.scheduler.waiting
    kept.clock.received_s = ended.clock.received_s = 100.0
    engine.completion.end_overdue(now_s=109.0)
    assert len(engine.scheduler.waiting) == 2
    engine.completion.end_overdue(now_s=111.0)
    assert list(engine.scheduler.waiting) == [kept]
    (failed,) = engine.failed("a")
    assert failed.kind == "DeadlineExceeded"


@pytest.mark.parametrize("seed", range(4))
def test_a_prefill_ends_once_its_prompt_is_on_the_disk(seed: int) -> None:
    disk, store = fake_disk(dice=random.Random(seed))
    engine = running(Engine([], disk=disk), prefill("a", [1] * 20), n_steps=2)
    for _ in range(100):
        engine.completion.finish_saved()
    (end,) = engine.finished("a")
    assert end.saved
    assert not engine.completion.is_saving
    assert [1] * 20 in store.held()


def test_without_a_disk_a_prefill_ends_at_once_and_unsaved() -> None:
    engine = running(Engine([]), prefill("a", [1] * 20), n_steps=2)
    assert [end.saved for end in engine.finished("a")] == [False]


def test_the_tokens_of_an_answer_are_remembered_for_the_next_prompt() -> None:
    prompt, seed = endless(5, 9)
    engine = Engine([[generate("a", prompt, 9, seed=seed)]]).run()
    text = shown(prompt) + engine.text("a")
    spliced = engine.prompts.turns.splice(text)
    assert spliced is not None
    assert shown(spliced.tokens) == text
    assert spliced.rest == ""


@pytest.mark.parametrize("n_before", [0, 1, 4])
def test_an_answer_is_remembered_up_to_its_stop_string(n_before: int) -> None:
    prompt, seed = endless(5, 9)
    whole = Engine([[generate("a", prompt, 9, seed=seed)]]).run().text("a")
    stop = whole[n_before : n_before + 3]
    command = msgspec.structs.replace(generate("a", prompt, 9, seed=seed), stop=[stop])
    engine = Engine([[command]]).run()
    (end,) = engine.finished("a")
    assert (end.reason, end.stop_string) == ("stop", stop)
    text = engine.text("a")
    assert len(text) <= n_before
    spliced = engine.prompts.turns.splice(shown(prompt) + text + "!")
    assert (spliced is not None) == bool(text)
    if spliced is not None:
        assert (shown(spliced.tokens), spliced.rest) == (shown(prompt) + text, "!")


def test_an_answer_that_ends_with_its_grammar_is_remembered_as_a_whole() -> None:
    prompt, seed = endless(5, 9)
    engine = running(Engine([]), generate("a", prompt, 9, seed=seed))
    (request,) = engine.scheduler.running
    engine.completion.finish(request, "stop")
    spliced = engine.prompts.turns.splice(shown(request.tokens) + "!")
    assert spliced is None, "no end of a turn follows"


def test_a_cancelled_answer_is_not_remembered() -> None:
    prompt, seed = endless(5, 30)
    script: list[list[Command]] = [
        [generate("a", prompt, 30, seed=seed)],
        [],
        [],
        [Cancel(request_id="a")],
    ]
    engine = Engine(script).run()
    assert engine.finished("a") == []
    assert len(engine.prompts.turns) == 0


THOUGHT = "<think>Hm.</think>So."


@pytest.mark.parametrize(
    ("text", "n_kept"), [("So.", None), (THOUGHT, 5), (CALL, None), (BROKEN, None)]
)
def test_a_sequence_tells_what_of_it_later_prompts_keep(text: str, n_kept: int | None) -> None:
    prompt, seed = endless(5, 9)
    engine = running(Engine([]), generate("a", prompt, 9, seed=seed))
    (request,) = engine.scheduler.running
    slot = request.slot
    assert slot is not None
    request.history = History(5, 0, AnswersKept(thoughts=False, thoughts_of_calls=False))
    parser = ReasoningParser(HermesParser(), ReasoningTags("<think>", "</think>"), is_open=False)
    request.answer = Answer("a", (), parser)
    list(request.answer.feed(text.encode()))
    engine.completion.finish(request, "stop")
    assert slot.n_kept == n_kept


def test_the_tokens_of_thoughts_are_told_those_too_that_were_held_back_until_the_end() -> None:
    prompt, seed = endless(5, 9)
    engine = running(Engine([]), generate("a", prompt, 9, seed=seed))
    (request,) = engine.scheduler.running
    del request.tokens[request.n_prompt :]
    parser = ReasoningParser(HermesParser(), ReasoningTags("<think>", "</think>"), is_open=True)
    request.answer = Answer("a", (), parser, generated=request.tokens)
    for piece in (b"Hm", b" <"):
        request.tokens.append(1)
        list(request.answer.feed(piece))
    engine.completion.finish(request, "stop")
    (end,) = engine.finished("a")
    assert (end.usage.completion_tokens, end.usage.reasoning_tokens) == (2, 2)


@pytest.mark.parametrize(("n_history", "n_kept"), [(4, 4), (0, None)])
def test_later_prompts_do_not_have_all_of_an_answer_that_a_stop_string_ended(
    n_history: int, n_kept: int | None
) -> None:
    prompt, seed = endless(5, 9)
    engine = running(Engine([]), generate("a", prompt, 9, seed=seed))
    (request,) = engine.scheduler.running
    slot, text = request.slot, shown(request.tokens[5:])
    assert slot is not None
    request.history = History(5, n_history)
    request.answer = Answer("a", (text[-1],), HermesParser())
    list(request.answer.feed(text.encode()))
    engine.completion.finish(request, "stop")
    assert slot.n_kept == n_kept


def test_what_came_of_a_cancelled_answer_does_not_come_back() -> None:
    prompt, seed = endless(5, 9)
    engine = running(Engine([]), generate("a", prompt, 9, seed=seed))
    (request,) = engine.scheduler.running
    slot = request.slot
    assert slot is not None
    request.history = History(request.n_prompt, 3)
    engine.completion.retire(request)
    assert slot.n_kept == 3


def test_later_prompts_begin_with_all_of_a_prefill() -> None:
    engine = running(Engine([]), prefill("a", [1] * 20), n_steps=2)
    assert [slot.n_kept for slot in engine.pool.slots if slot.tokens] == [None]


def test_tokens_are_posted_once() -> None:
    prompt, seed = endless(5, 9)
    engine = running(Engine([]), generate("a", prompt, 9, seed=seed), n_steps=4)
    (request,) = engine.scheduler.running
    for _ in range(2):
        engine.completion.post_chosen(request)
    posted = [event for event in engine.events if isinstance(event, Chosen)]
    assert all(event.tokens for event in posted)
    assert all(one != other for one, other in pairwise(posted))
