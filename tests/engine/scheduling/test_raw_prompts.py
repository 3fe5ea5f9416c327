"""A raw prompt is answered as a conversation is, and its client is told of it what it asks for."""

from __future__ import annotations

from typing import Any, TypeVar

import pytest

from app.base.json_types import as_json
from app.engine.decode.prompt_echo import ROWS_PER_STEP
from app.engine.prompt.generated_turns import GeneratedTurns
from app.protocol import (
    Chosen,
    Command,
    CountTokens,
    Event,
    Finished,
    Generate,
    PromptEcho,
    PromptToken,
    RawPrompt,
    SamplingParams,
    Started,
    TextDelta,
    TokenCount,
    TokensGenerated,
)
from tests.engine.fake_engine import Engine, FollowerGuidance, endless, generate
from tests.engine.fake_llama import END, solo, solo_followed

E = TypeVar("E", bound=Event)


def raw(request_id: str, prompt: list[int], max_tokens: int | None = 8, **fields: Any) -> Generate:
    fields.setdefault("sampling", SamplingParams(seed=1))
    return Generate(
        request_id=request_id, prompt=RawPrompt(tokens=prompt), max_tokens=max_tokens, **fields
    )


def of_kind(engine: Engine, kind: type[E], request_id: str = "a") -> list[E]:
    events = [event for event in engine.events if isinstance(event, kind)]
    return [event for event in events if getattr(event, "request_id", "") == request_id]


def kinds(engine: Engine, request_id: str = "a") -> list[str]:
    events = [e for e in engine.events if getattr(e, "request_id", "") == request_id]
    return [type(event).__name__ for event in events if not isinstance(event, Chosen)]


def scored(engine: Engine, request_id: str = "a") -> list[PromptToken]:
    (echo,) = of_kind(engine, PromptEcho, request_id)
    return echo.tokens


def assert_scored(engine: Engine, prompt: list[int], request_id: str = "a") -> None:
    """Each token of the prompt is told of, with the logits behind the one before it."""
    tokens = scored(engine, request_id)
    assert [token.id for token in tokens] == prompt
    assert tokens[0].logprob is None
    assert [token.top[0].id for token in tokens[1:]] == prompt[:-1]
    assert kinds(engine, request_id)[1:3] == ["Started", "PromptEcho"]


PROMPT = [number % 11 + 1 for number in range(50)]


def test_a_raw_prompt_is_answered_as_the_same_conversation_is() -> None:
    engine = Engine([[raw("a", PROMPT), generate("b", PROMPT)]]).run()
    assert engine.text("a") == engine.text("b")
    assert engine.finished("a")[0].usage.prompt_tokens == len(PROMPT)


def test_a_raw_prompt_comes_from_the_cache() -> None:
    script: list[list[Command]] = [[raw("a", PROMPT)], [], [], [raw("b", PROMPT)]]
    engine = Engine(script, parallel=1).run()
    assert engine.finished("b")[0].usage.cached_tokens == len(PROMPT) - 1
    assert engine.text("a") == engine.text("b")


def test_the_answer_to_a_raw_prompt_is_no_turn_of_a_conversation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    texts: list[str] = []
    monkeypatch.setattr(GeneratedTurns, "remember", lambda _, turn: texts.append(turn.answer_text))
    engine = Engine([[raw("a", PROMPT), generate("b", [1, 2])]]).run()
    assert texts == [engine.text("b")]


# ---------------------------------------------------------------- the prompt, told


def test_a_prompt_is_told_as_text_between_the_start_and_the_answer() -> None:
    engine = Engine([[raw("a", [1, 2], echo=True, n=2)]]).run()
    assert kinds(engine)[:4] == ["Accepted", "Started", "PromptEcho", "TextDelta"]
    (echo,) = of_kind(engine, PromptEcho)
    assert (echo.text, echo.tokens) == ("bc", [])


def test_a_text_is_told_as_it_was_given() -> None:
    prompt = RawPrompt(text="as given", tokens=[1, 2])
    command = Generate(request_id="a", prompt=prompt, sampling=SamplingParams(), echo=True)
    (echo,) = of_kind(Engine([[command]]).run(), PromptEcho)
    assert echo.text == "as given"


def test_nobody_is_told_of_a_prompt_without_asking() -> None:
    assert "PromptEcho" not in kinds(Engine([[raw("a", PROMPT)]]).run())


@pytest.mark.parametrize("can_cut", [True, False])
def test_logprobs_of_a_prompt_need_a_row_of_logits_for_each_token_and_few_at_once(
    can_cut: bool,
) -> None:
    engine = Engine([[raw("a", PROMPT, prompt_logprobs=1)]], can_cut=can_cut).run()
    assert_scored(engine, PROMPT)
    assert engine.text("a") == Engine([[raw("a", PROMPT)]]).run().text("a")
    assert engine.cells.n_most_rows == ROWS_PER_STEP


@pytest.mark.parametrize("length", [1, 2, ROWS_PER_STEP, ROWS_PER_STEP + 1, ROWS_PER_STEP + 2])
@pytest.mark.parametrize("max_tokens", [0, 1])
def test_prompts_of_any_length_are_told_whole(length: int, max_tokens: int) -> None:
    engine = Engine([[raw("a", PROMPT[:length], max_tokens, prompt_logprobs=1)]]).run()
    assert_scored(engine, PROMPT[:length])
    assert engine.finished("a")[0].usage.completion_tokens == max_tokens


def test_a_conversation_has_logprobs_too() -> None:
    command = generate("a", PROMPT)
    engine = Engine([[Generate(**_fields(command), prompt_logprobs=1)]]).run()
    assert_scored(engine, PROMPT)
    engine.assert_answered(command)


def _fields(command: Generate) -> dict[str, Any]:
    return {
        name: getattr(command, name)
        for name in ("request_id", "messages", "sampling", "max_tokens")
    }


def test_a_prompt_with_logprobs_is_read_though_it_is_cached_and_can_be_reused() -> None:
    script: list[list[Command]] = [
        [raw("a", PROMPT)],
        [],
        [raw("b", PROMPT, prompt_logprobs=1)],
        *[[] for _ in range(20)],
        [raw("c", PROMPT)],
    ]
    engine = Engine(script, parallel=1).run()
    assert_scored(engine, PROMPT, "b")
    cached = [engine.finished(name)[0].usage.cached_tokens for name in "abc"]
    assert cached == [0, 0, len(PROMPT) - 1]


def test_answers_to_one_prompt_read_and_tell_it_once() -> None:
    engine = Engine([[raw("a", PROMPT, 1, n=3, prompt_logprobs=1)]]).run()
    assert_scored(engine, PROMPT)
    assert engine.cells.n_decoded == len(PROMPT) - 1 + 3


def test_others_run_beside_prompts_that_are_scored_one_at_a_time() -> None:
    others = [generate(f"other {number}", [3, number], 30, seed=number) for number in range(1, 4)]
    asking = [raw(name, PROMPT, prompt_logprobs=1) for name in "ab"]
    engine = Engine([[*others, *asking]], parallel=5).run()
    for name in "ab":
        assert_scored(engine, PROMPT, name)
    for other in others:
        engine.assert_answered(other)
    assert engine.cells.n_most_rows <= ROWS_PER_STEP + len(others) + 1


def test_a_prompt_that_makes_room_for_others_is_told_whole_and_once() -> None:
    older, seed = endless(30, 60)
    first = generate("older", older, 60, seed=seed)
    asking = raw("a", PROMPT, prompt_logprobs=1)
    engine = Engine([[first], *[[] for _ in range(12)], [asking]], n_ctx=100).run()
    assert engine.cells.n_full > 0
    assert_scored(engine, PROMPT)
    engine.assert_answered(first)


def test_what_a_grammar_forces_comes_after_the_prompt() -> None:
    plain = Engine([[raw("a", PROMPT)]], planner=FollowerGuidance()).run()
    command = raw("a", PROMPT, prompt_logprobs=1)
    engine = Engine([[command]], planner=FollowerGuidance()).run()
    assert_scored(engine, PROMPT)
    assert engine.text("a") == plain.text("a")


def test_too_many_logprobs_for_a_long_prompt_are_refused() -> None:
    command = raw("a", [1] * 900, prompt_logprobs=1000)
    (failed,) = Engine([[command]]).run().failed("a")
    assert (failed.kind, failed.param) == ("InvalidRequest", "logprobs")


def test_what_is_told_of_a_prompt_counts_once_for_each_answer() -> None:
    asked = {"prompt_logprobs": 20, "max_tokens": 0}
    assert Engine([[raw("a", [1] * 900, n=13, **asked)]]).run().finished("a")
    (failed,) = Engine([[raw("a", [1] * 900, n=14, **asked)]]).run().failed("a")
    assert failed.param == "logprobs"


def test_another_engine_reads_the_prompt_again_and_goes_on_with_the_answer() -> None:
    whole = Engine([[raw("a", PROMPT, prompt_logprobs=1, report_tokens=True)]]).run()
    chosen = [token for event in of_kind(whole, Chosen) for token in event.tokens]
    command = raw("a", PROMPT, prompt_logprobs=1, report_tokens=True, resumes=[chosen[:2]])
    engine = Engine([[command]]).run()
    assert_scored(engine, PROMPT)
    assert engine.text("a") == whole.text("a")
    assert of_kind(engine, TokensGenerated) == of_kind(whole, TokensGenerated)


# ---------------------------------------------------------------- no answer at all


@pytest.mark.parametrize("n", [1, 2])
def test_no_token_is_generated_where_none_is_wanted(n: int) -> None:
    engine = Engine([[raw("a", PROMPT, 0, n=n, echo=True)]]).run()
    assert kinds(engine) == ["Accepted", "Started", "PromptEcho", *["Finished"] * n]
    for finished in engine.finished("a"):
        assert (finished.reason, finished.usage.completion_tokens) == ("length", 0)
    assert engine.cells.n_decoded == len(PROMPT)


def test_a_cached_prompt_without_an_answer_takes_no_step() -> None:
    script: list[list[Command]] = [[raw("a", PROMPT, 0)], [], [], [raw("b", PROMPT, 0)]]
    engine = Engine(script, parallel=1).run()
    assert engine.cells.n_decoded == len(PROMPT)
    assert engine.finished("b")[0].reason == "length"


# ---------------------------------------------------------------- tokens, stop strings, counts


@pytest.mark.parametrize("guidance", [None, FollowerGuidance()])
def test_all_generated_tokens_are_told_before_what_they_show(guidance: Any) -> None:
    command = raw("a", PROMPT, 60, report_tokens=True)
    engine = Engine([[command]], planner=guidance).run()
    answer = (solo_followed if guidance else solo)(PROMPT, 1, 60)
    told: list[int] = []
    n_shown = 0
    for event in engine.events:
        match event:
            case TokensGenerated():
                told += event.tokens
            case TextDelta():
                n_shown += len(event.text)
                assert n_shown <= len(told)
            case _:
                pass
    assert told == answer
    assert END in answer, "the one that ends the answer too"


def test_nobody_is_told_tokens_without_asking() -> None:
    assert "TokensGenerated" not in kinds(Engine([[raw("a", PROMPT)]]).run())


def test_the_stop_string_that_ended_an_answer_is_told() -> None:
    text = Engine([[raw("a", PROMPT)]]).run().text("a")
    engine = Engine([[raw("a", PROMPT, stop=["zz", text[1]])]]).run()
    (finished,) = engine.finished("a")
    assert (engine.text("a"), finished.reason, finished.stop_string) == (text[0], "stop", text[1])


def test_an_answer_that_ends_by_itself_has_no_stop_string() -> None:
    (finished,) = Engine([[raw("a", PROMPT, stop=["zz"])]]).run().finished("a")
    assert finished.stop_string is None


def test_a_count_takes_no_place_in_a_full_queue() -> None:
    commands: list[Command] = [generate(name, PROMPT) for name in "abc"]
    count = CountTokens(request_id="count", messages=as_json([{"content": [1, 2, 3]}]))
    engine = Engine([[*commands, count]], parallel=1, max_queue=1).run()
    assert of_kind(engine, TokenCount, "count") == [TokenCount(request_id="count", n_tokens=3)]
    first = next(at for at, event in enumerate(engine.events) if isinstance(event, Finished))
    assert any(isinstance(event, TokenCount) for event in engine.events[:first])


def test_a_request_is_announced_before_its_prompt_is_read() -> None:
    n_decoded: list[int] = []

    class Watched(Engine):
        def flush(self) -> None:
            super().flush()
            if any(isinstance(event, Started) for event in self.events):
                n_decoded.append(self.cells.n_decoded)

    Watched([[raw("a", PROMPT)]]).run()
    assert n_decoded[0] == 0
