"""Nothing is told twice and nothing is left out, however often the engine under a request dies."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.host.requests.delivered_events import DeliveredEvents
from app.protocol import (
    Accepted,
    Chosen,
    Finished,
    Generate,
    PromptEcho,
    PromptProgress,
    ReasoningDelta,
    RequestEvent,
    SamplingParams,
    Started,
    TextDelta,
    Timings,
    TokenLogprob,
    TokenLogprobs,
    TokensGenerated,
    ToolCallDelta,
    ToolCallStart,
    Usage,
)

STARTED = Started(request_id="r", prompt_tokens=4, cached_tokens=0)
ACCEPTED = Accepted(request_id="r")


def command(n: int = 1) -> Generate:
    return Generate(request_id="r", sampling=SamplingParams(), n=n)


def text(words: str, choice: int = 0) -> TextDelta:
    return TextDelta(request_id="r", text=words, choice=choice)


def chosen(*tokens: int, choice: int = 0) -> Chosen:
    return Chosen(request_id="r", tokens=list(tokens), choice=choice)


def finished(choice: int = 0) -> Finished:
    usage = Usage(prompt_tokens=4, cached_tokens=0, completion_tokens=3)
    timings = Timings(
        queue_ms=0.0,
        ttft_ms=0.0,
        prompt_n=4,
        prompt_ms=0.0,
        predicted_n=3,
        predicted_ms=0.0,
        cache_n=0,
    )
    return Finished(request_id="r", reason="stop", usage=usage, timings=timings, choice=choice)


def call(arguments: str, index: int) -> ToolCallDelta:
    return ToolCallDelta(request_id="r", index=index, arguments=arguments)


def start(index: int, call_id: str) -> ToolCallStart:
    return ToolCallStart(request_id="r", index=index, id=call_id, name="f")


def test_chosen_tokens_are_not_for_the_client() -> None:
    delivered = DeliveredEvents(command())
    assert delivered.new_events([STARTED, text("a"), chosen(7)]) == [STARTED, text("a")]
    assert delivered.command.resumes == [[7]]


def test_a_request_is_accepted_once() -> None:
    delivered = DeliveredEvents(command())
    assert delivered.new_events([ACCEPTED]) == [ACCEPTED]
    delivered.start_attempt()
    assert delivered.new_events([ACCEPTED, STARTED]) == [STARTED]


def test_the_second_engine_tells_what_the_first_did_not() -> None:
    delivered = DeliveredEvents(command())
    delivered.new_events([ACCEPTED, STARTED, text("ab"), text("c"), chosen(1, 2)])
    delivered.start_attempt()
    assert delivered.new_events([ACCEPTED, STARTED, text("a"), text("bcd")]) == [text("d")]
    assert delivered.new_events([text("e"), chosen(3), finished()]) == [text("e"), finished()]
    assert delivered.command.resumes == [[1, 2, 3]]


def test_a_call_keeps_the_id_it_was_told_with() -> None:
    delivered = DeliveredEvents(command())
    delivered.new_events([STARTED, start(0, "x"), call("{}", 0), start(1, "y"), call('{"a', 1)])
    delivered.start_attempt()
    again: list[RequestEvent] = [
        STARTED,
        start(0, "z"),
        call("{}", 0),
        start(1, "z"),
        call('{"a":1}', 1),
    ]
    assert delivered.new_events([*again, start(2, "z")]) == [call('":1}', 1), start(2, "z")]


def test_an_answer_that_was_whole_stays_as_it_is() -> None:
    delivered = DeliveredEvents(command(n=2))
    delivered.new_events(
        [STARTED, text("a", 1), chosen(1, choice=1), finished(1), text("x"), chosen(5)]
    )
    delivered.start_attempt()
    assert delivered.command.resumes == [[5], [1]]
    again: list[RequestEvent] = [STARTED, text("a", 1), finished(1), text("xy"), finished()]
    assert delivered.new_events(again) == [text("y"), finished()]


def test_logprobs_and_thoughts_are_not_repeated_either() -> None:
    tokens = [TokenLogprob(piece=word.encode(), logprob=0.0) for word in "abc"]
    delivered = DeliveredEvents(command())
    thought = ReasoningDelta(request_id="r", text="hm")
    delivered.new_events([STARTED, TokenLogprobs(request_id="r", tokens=tokens[:2]), thought])
    delivered.start_attempt()
    again: list[RequestEvent] = [
        STARTED,
        TokenLogprobs(request_id="r", tokens=tokens),
        thought,
        text("!"),
    ]
    assert delivered.new_events(again) == [
        TokenLogprobs(request_id="r", tokens=tokens[2:]),
        text("!"),
    ]


def test_the_prompt_and_token_ids_are_not_repeated_either() -> None:
    delivered = DeliveredEvents(command())
    echo = PromptEcho(request_id="r", text="prompt")
    delivered.new_events([STARTED, echo, TokensGenerated(request_id="r", tokens=[1, 2])])
    delivered.start_attempt()
    again: list[RequestEvent] = [STARTED, echo, TokensGenerated(request_id="r", tokens=[1, 2, 3])]
    assert delivered.new_events(again) == [TokensGenerated(request_id="r", tokens=[3])]


def test_progress_is_told_while_there_is_no_answer() -> None:
    progress = PromptProgress(request_id="r", total=9, cache=0, processed=3, time_ms=1.0)
    delivered = DeliveredEvents(command())
    delivered.new_events([STARTED, progress])
    delivered.start_attempt()
    assert delivered.new_events([STARTED, progress, progress]) == [progress, progress]
    delivered.new_events([text("a"), chosen(1)])
    delivered.start_attempt()
    assert delivered.new_events([STARTED, progress]) == []
    assert delivered.new_events([text("a"), progress, text("b")]) == [text("b")]


@pytest.mark.parametrize(
    ("events", "is_crash_suspect"),
    [([], True), ([ACCEPTED], False), ([ACCEPTED, STARTED], True)],
)
def test_an_engine_does_not_die_of_a_request_that_waits(
    events: list[RequestEvent], is_crash_suspect: bool
) -> None:
    delivered = DeliveredEvents(command())
    delivered.new_events(events)
    assert delivered.is_crash_suspect is is_crash_suspect


def test_an_engine_has_advanced_when_it_told_of_new_tokens_a_few_times() -> None:
    delivered = DeliveredEvents(command())
    delivered.new_events([ACCEPTED, STARTED, chosen(1)])
    delivered.start_attempt()
    delivered.new_events([ACCEPTED, STARTED, text("a")])
    for token in (2, 3):
        delivered.new_events([chosen(token), chosen(token)])
        assert not delivered.has_advanced
    delivered.new_events([chosen(4)])
    assert delivered.has_advanced


@given(
    st.lists(st.text("ab🙂", min_size=1, max_size=4), max_size=12),
    st.lists(st.tuples(st.integers(0, 60), st.integers(1, 7)), max_size=4),
)
def test_the_client_reads_the_answer_once(pieces: list[str], deaths: list[tuple[int, int]]) -> None:
    whole = "".join(pieces)
    delivered, read = DeliveredEvents(command()), ""
    for n_chars, n_piece in [*deaths, (len(whole), 3)]:
        told = [whole[at : at + n_piece] for at in range(0, min(n_chars, len(whole)), n_piece)]
        for event in delivered.new_events([ACCEPTED, STARTED, *map(text, told)]):
            read += event.text if isinstance(event, TextDelta) else ""
        assert read == whole[: len(read)]
        delivered.start_attempt()
    assert read == whole
