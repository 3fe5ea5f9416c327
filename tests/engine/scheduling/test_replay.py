"""An answer goes on in another engine where the one before it died."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.chat.parsing.reasoning import ReasoningParser
from app.chat.parsing.reasoning_tags import ReasoningTags
from app.chat.parsing.stream_parser import PlainParser, StreamParser
from app.engine.prompt.builder import Prompt
from app.protocol import Accepted, Chosen, Generate, Started, TextDelta, TokenLogprobs
from tests.engine.fake_engine import Engine, FollowerGuidance, NoGuidance, endless, generate
from tests.engine.fake_llama import FORGETFUL, TokenPrompts, followers, shown


def chosen(engine: Engine, n: int = 1) -> list[list[int]]:
    """Return the tokens that were chosen for each answer."""
    tokens: list[list[int]] = [[] for _ in range(n)]
    for event in engine.events:
        if isinstance(event, Chosen):
            tokens[event.choice] += event.tokens
    return tokens


def resumed(command: Generate, tokens: list[list[int]]) -> Generate:
    return msgspec.structs.replace(command, resumes=tokens)


def test_what_was_chosen_is_told_whole_and_without_what_follows_by_itself() -> None:
    prompt, seed = endless(10, 12)
    command = generate("a", prompt, 12, seed=seed)
    free = Engine([[command]]).run()
    assert len(chosen(free)[0]) == 12
    bound = Engine([[command]], planner=FollowerGuidance()).run()
    (tokens,) = chosen(bound)
    assert sum(1 + len(followers(token)) for token in tokens) >= 12 > len(tokens)


@given(
    st.integers(0, 40),
    st.booleans(),
    st.booleans(),
    st.integers(1, 3),
    st.integers(1, 60),
    st.sampled_from([1, FORGETFUL]),
    st.sampled_from([0.0, 3600.0]),
)
def test_the_answer_is_the_same_wherever_the_first_engine_died(
    n_known: int, is_guided: bool, can_cut: bool, n: int, start: int, seed: int, exact_s: float
) -> None:
    def planner() -> NoGuidance:
        return FollowerGuidance() if is_guided else NoGuidance()

    command = generate("a", [start] * 20, 30, seed=seed, n=n)
    whole = Engine([[command]], planner=planner()).run()
    known = [tokens[:n_known] for tokens in chosen(whole, n)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("app.engine.scheduling.generation.EXACT_REPLAY_S", exact_s)
        engine = Engine([[resumed(command, known)]], planner=planner(), can_cut=can_cut).run()
    engine.assert_answered(command)
    rest = [tokens[len(cut) :] for tokens, cut in zip(chosen(whole, n), known, strict=True)]
    assert chosen(engine, n) == rest, "what is replayed is not chosen again"


def test_a_long_replay_is_decoded_like_a_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.engine.scheduling.generation.EXACT_REPLAY_S", 0.0)
    prompt, seed = endless(20, 30)
    command = generate("a", prompt, 30, seed=seed, speculate=False)
    known = [tokens[:29] for tokens in chosen(Engine([[command]]).run())]
    engine = Engine([[resumed(command, known)]]).run()
    engine.assert_answered(command)
    assert engine.cells.n_steps <= 4
    (end,) = engine.finished("a")
    assert end.timings.predicted_n == 1, "the speed is that of this engine"


def test_a_short_one_takes_the_steps_it_took_before() -> None:
    prompt, seed = endless(20, 30)
    command = generate("a", prompt, 30, seed=seed, speculate=False)
    before = Engine([[command]]).run()
    known = [tokens[:29] for tokens in chosen(before)]
    engine = Engine([[resumed(command, known)]]).run()
    engine.assert_answered(command)
    assert engine.cells.n_steps == before.cells.n_steps


def test_a_long_replay_tells_the_logprobs_of_every_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.engine.scheduling.generation.EXACT_REPLAY_S", 0.0)
    prompt, seed = endless(20, 30)
    command = msgspec.structs.replace(generate("a", prompt, 30, seed=seed), n_logprobs=1)
    known = [tokens[:20] for tokens in chosen(Engine([[command]]).run())]
    engine = Engine([[resumed(command, known)]]).run()
    engine.assert_answered(command)
    told = [event.tokens for event in engine.events if isinstance(event, TokenLogprobs)]
    assert sum(map(len, told)) == 30


def test_tokens_leave_with_their_text_when_their_request_is_held_back() -> None:
    commands = []
    for name, start in (("a", 1), ("b", 2)):
        prompt, seed = endless(10, 30, start)
        commands.append(generate(name, prompt, 30, seed=seed, speculate=False))
    engine = Engine([commands], n_ctx=50, stream_interval_s=3600.0).run()
    assert engine.cells.n_full
    for n_sent in engine.sent:
        n_ahead: Counter[str] = Counter()  # letters without their tokens
        for event in engine.events[:n_sent]:
            if isinstance(event, TextDelta):
                n_ahead[event.request_id] += len(event.text)
            if isinstance(event, Chosen):
                n_ahead[event.request_id] -= len(event.tokens)
        assert not any(n_ahead.values())


def test_a_request_that_was_taken_once_is_not_refused_by_a_full_queue() -> None:
    prompt, seed = endless(20, 30)
    first = [generate(str(number), prompt, 30, seed=seed) for number in range(3)]
    late = [resumed(generate(f"l{number}", prompt, 5, seed=seed), [[]]) for number in range(2)]
    new = generate("new", prompt, 5, seed=seed)
    engine = Engine([first, [*late, new]], parallel=1, max_queue=2).run()
    for command in (*first, *late):
        engine.assert_answered(command)
    assert engine.failed("new")


def test_a_request_is_accepted_before_it_starts() -> None:
    engine = Engine([[generate("a", [1] * 4)]]).run()
    told = [event for event in engine.events if isinstance(event, Accepted | Started)]
    assert [type(event) for event in told] == [Accepted, Started]


class ThinkingPrompts(TokenPrompts):
    """Answers begin in thoughts, which the letter `c` ends."""

    def parser(self, command: Generate, prompt: Prompt) -> StreamParser:
        return ReasoningParser(PlainParser(), ReasoningTags("<", "c"), is_open=True)


@pytest.mark.parametrize("exact_s", [0.0, 3600.0])
def test_the_tokens_of_thoughts_are_the_same_wherever_the_first_engine_died(
    monkeypatch: pytest.MonkeyPatch, exact_s: float
) -> None:
    monkeypatch.setattr("app.engine.scheduling.generation.EXACT_REPLAY_S", exact_s)
    prompt, seed = endless(20, 30)
    command = generate("a", prompt, 30, seed=seed)
    whole = Engine([[command]], prompts=ThinkingPrompts()).run()
    (end,) = whole.finished("a")
    assert end.usage.reasoning_tokens == shown(chosen(whole)[0]).index("c")
    for n_known in range(31):
        known = [tokens[:n_known] for tokens in chosen(whole)]
        engine = Engine([[resumed(command, known)]], prompts=ThinkingPrompts()).run()
        assert engine.finished("a")[0].usage == end.usage
