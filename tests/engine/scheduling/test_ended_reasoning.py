"""The reasoning of an answer ends between two steps, and there again after a crash."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from app.base.json_types import JsonObject
from app.engine.constrain import GuidePlan, ThinkingPlan
from app.protocol import REASONING_ENDED, Chosen, Command, EndReasoning, Generate, TextDelta
from tests.engine.fake_engine import Engine, NoGuidance, endless, generate
from tests.engine.fake_llama import END as STOP
from tests.engine.fake_llama import next_token, shown

CLOSING = (3, 4, 3)
PROMPT, SEED = endless(20, 40)
COMMAND = generate("a", PROMPT, 30, seed=SEED)
END = EndReasoning(request_id="a")


class ThinkingGuidance(NoGuidance):
    """All answers begin in thoughts, which no token of the model ends."""

    def plan(
        self, command: Generate, prompt_text: str, offered: Sequence[JsonObject] = ()
    ) -> GuidePlan | None:
        thinking = ThinkingPlan(
            opening=b"<",
            closing=b"!!",
            opening_token=None,
            end=CLOSING,
            gap=(),
            is_open=True,
        )
        return GuidePlan(
            piece=lambda token: shown([token]).encode(), tokenize=lambda _: [], thinking=thinking
        )


def run(*script: Sequence[Command], parallel: int = 4) -> Engine:
    return Engine(script, planner=ThinkingGuidance(), parallel=parallel).run()


def answer(engine: Engine, request_id: str = "a") -> str:
    return "".join(
        event.text
        for event in engine.events
        if isinstance(event, TextDelta) and event.request_id == request_id
    )


def chosen(engine: Engine) -> list[int]:
    return [token for event in engine.events if isinstance(event, Chosen) for token in event.tokens]


def expected(n_thought: int) -> str:
    """Return the answer whose thoughts end after so many tokens."""
    tokens: list[int] = []
    while len(tokens) < 30 and STOP not in tokens:
        tokens += CLOSING if len(tokens) == n_thought else [next_token(SEED, [*PROMPT, *tokens])]
    return shown(tokens[:30])


def test_thoughts_end_where_the_command_came_and_what_ends_them_is_not_chosen() -> None:
    engine = run([COMMAND], [], [], [], [], [END])
    tokens = chosen(engine)
    n_thought = tokens.index(REASONING_ENDED)
    assert 0 < n_thought < 25
    assert tokens.count(REASONING_ENDED) == 1
    assert answer(engine) == expected(n_thought)
    (end,) = engine.finished("a")
    assert end.usage.completion_tokens == len(tokens) - 1 + len(CLOSING)


def test_a_second_command_ends_nothing() -> None:
    engine = run([COMMAND], [], [], [], [], [END], [END], [END])
    assert answer(engine) == expected(chosen(engine).index(REASONING_ENDED))


def test_after_a_crash_the_thoughts_end_at_the_same_place() -> None:
    whole = run([COMMAND], [], [], [], [], [END])
    tokens = chosen(whole)
    for n_known in range(tokens.index(REASONING_ENDED) + 1, len(tokens) + 1):
        resumed = msgspec.structs.replace(COMMAND, resumes=[tokens[:n_known]])
        again = run([resumed])
        assert answer(again) == answer(whole)
        assert chosen(again) == tokens[n_known:]


def test_the_place_is_kept_where_a_long_replay_is_decoded_like_a_prompt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("app.engine.scheduling.generation.EXACT_REPLAY_S", 0.0)
    whole = run([COMMAND], [], [], [], [], [END])
    resumed = msgspec.structs.replace(COMMAND, resumes=[chosen(whole)[:20]])
    assert answer(run([resumed])) == answer(whole)


def test_a_command_during_a_replay_ends_thoughts_behind_it() -> None:
    known = chosen(run([COMMAND]))[:10]
    engine = run([msgspec.structs.replace(COMMAND, resumes=[known]), END])
    assert answer(engine) == expected(10)


def test_an_answer_that_waits_begins_without_thoughts() -> None:
    other = generate("b", PROMPT, 30, seed=SEED)
    engine = run([other, COMMAND, END], parallel=1)
    assert answer(engine) == expected(0)
    assert REASONING_ENDED not in [
        token
        for event in engine.events
        if isinstance(event, Chosen) and event.request_id == "b"
        for token in event.tokens
    ]


def test_an_answer_that_is_still_prefilled_begins_without_thoughts() -> None:
    engine = Engine([[COMMAND], [END]], planner=ThinkingGuidance(), n_batch=8).run()
    assert answer(engine) == expected(0)


def test_an_answer_that_is_not_controlled_goes_on() -> None:
    engine = Engine([[COMMAND], [], [END]]).run()
    engine.assert_answered(COMMAND)
    assert REASONING_ENDED not in chosen(engine)
