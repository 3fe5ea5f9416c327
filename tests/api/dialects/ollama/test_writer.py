"""An engine's events become Ollama's lines, whose sum is the answer that is not streamed."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.dialects.ollama.answer_schemas import OllamaChatResponse, OllamaGenerateResponse
from app.api.dialects.ollama.lines import Part, chat_body, generate_body
from app.api.dialects.ollama.writer import OllamaWriter
from app.api.outcome import Outcome
from app.errors import EngineDied, InvalidRequest, QueueFull
from app.protocol import (
    Finished,
    PromptEcho,
    ReasoningDelta,
    RequestEvent,
    Started,
    TextDelta,
    TokenLogprob,
    TokenLogprobs,
    TokensGenerated,
    ToolCallDelta,
    ToolCallStart,
)
from tests.api.dialects.ollama.ndjson_stream import Stream, read_stream
from tests.api.requests import command
from tests.host.fake_engine import TIMINGS, USAGE

Bodies = Callable[[Part], dict[str, Any]]

STARTED = Started(request_id="r", prompt_tokens=10, cached_tokens=4)


def text(said: str) -> TextDelta:
    return TextDelta(request_id="r", text=said)


def thought(said: str) -> ReasoningDelta:
    return ReasoningDelta(request_id="r", text=said)


def call(index: int, *arguments: str, name: str = "f") -> list[RequestEvent]:
    start = ToolCallStart(request_id="r", index=index, id=f"call_{index}", name=name)
    more = [ToolCallDelta(request_id="r", index=index, arguments=each) for each in arguments]
    return [start, *more]


def logprob(piece: bytes) -> TokenLogprobs:
    return TokenLogprobs(request_id="r", tokens=[TokenLogprob(piece=piece, logprob=-1.0)])


def finished(reason: str = "stop") -> Finished:
    return Finished(request_id="r", reason=reason, usage=USAGE, timings=TIMINGS)


ANSWER: list[RequestEvent] = [
    thought("Let me "),
    thought("see."),
    text('Grüße "🦙"\n'),
    text("and more"),
    *call(0, '{"city":\n', '"Köln"}'),
    *call(1, name="g"),
]


def writer(bodies: Bodies = chat_body) -> OllamaWriter:
    return OllamaWriter('odd "model"', bodies, asked_ns=0)


def streamed(
    events: Sequence[RequestEvent], bodies: Bodies = chat_body, *, reason: str = "stop"
) -> Stream:
    written, outcome = writer(bodies), Outcome([command()])
    data = written.begin()
    for event in [STARTED, *events, finished(reason)]:
        data += written.feed(0, event)
        outcome.note(0, [event])
    return read_stream(data + written.end(outcome))


def whole(
    events: Sequence[RequestEvent], bodies: Bodies = chat_body, *, reason: str = "stop"
) -> dict[str, Any]:
    written, outcome = writer(bodies), Outcome([command()])
    for event in [STARTED, *events, finished(reason)]:
        written.collect(0, event)
        outcome.note(0, [event])
    body: dict[str, Any] = json.loads(written.whole(outcome))
    return body


def test_a_whole_answer_is_one_object_with_everything() -> None:
    body = whole(ANSWER)
    assert body["message"] == {
        "role": "assistant",
        "content": 'Grüße "🦙"\nand more',
        "thinking": "Let me see.",
        "tool_calls": [
            {"id": "call_0", "function": {"index": 0, "name": "f", "arguments": {"city": "Köln"}}},
            {"id": "call_1", "function": {"index": 1, "name": "g", "arguments": {}}},
        ],
    }
    assert (body["model"], body["done"], body["done_reason"]) == ('odd "model"', True, "stop")
    OllamaChatResponse.model_validate(body, strict=True)


def test_an_answer_to_a_prompt_is_a_response() -> None:
    body = whole([thought("Hm"), text("Hi")], generate_body)
    assert (body["response"], body["thinking"]) == ("Hi", "Hm")
    assert "message" not in body
    OllamaGenerateResponse.model_validate(body, strict=True)


def test_nothing_is_sent_before_the_answer_begins() -> None:
    written = writer()
    assert written.begin() + written.feed(0, STARTED) == b""


def test_a_call_is_a_line_of_its_own_once_it_is_whole() -> None:
    written = writer()
    sent = [
        written.feed(0, event) for event in [*call(0, '{"a":', "1}"), *call(1, "{}"), text("x")]
    ]
    n_lines = [data.count(b"\n") for data in sent]
    assert n_lines == [0, 0, 0, 1, 0, 2]
    assert json.loads(sent[3])["message"] == {
        "role": "assistant",
        "content": "",
        "tool_calls": [
            {"id": "call_0", "function": {"index": 0, "name": "f", "arguments": {"a": 1}}}
        ],
    }


def test_a_call_that_the_limit_cuts_off_is_left_out() -> None:
    events = [text("x"), *call(0, "{}"), *call(1, '{"city":"Kö')]
    stream = streamed(events, reason="length")
    assert [each["id"] for each in stream.calls] == ["call_0"]
    assert stream.last
    assert stream.last["done_reason"] == "length"
    assert whole(events, reason="length")["message"]["tool_calls"] == stream.calls


def test_logprobs_are_on_the_line_of_their_text_and_the_last_has_the_rest() -> None:
    written, outcome = writer(), Outcome([command()])
    assert written.feed(0, logprob(b"a")) == b""
    first = json.loads(written.feed(0, text("a")))
    assert [each["token"] for each in first["logprobs"]] == ["a"]
    assert "logprobs" not in json.loads(written.feed(0, text("b")))
    written.feed(0, logprob(b"c"))
    outcome.note(0, [finished()])
    assert [each["token"] for each in json.loads(written.end(outcome))["logprobs"]] == ["c"]


def test_the_last_line_has_the_tokens_that_a_later_prompt_follows() -> None:
    echo = PromptEcho(request_id="r", text="x", ids=[1, 2])
    generated = TokensGenerated(request_id="r", tokens=[3])
    events: list[RequestEvent] = [echo, generated, text("a"), generated, text("b")]
    stream = streamed(events, generate_body)
    assert stream.last
    assert stream.last["context"] == [1, 2, 3, 3]
    assert whole(events, generate_body)["context"] == [1, 2, 3, 3]
    assert "context" not in whole([text("a")], generate_body)


def test_a_ping_is_a_space_in_front_of_a_line() -> None:
    written = writer()
    assert written.ping() == b" "
    assert json.loads(written.ping() * 3 + written.feed(0, text("x")))["message"]["content"] == "x"


def test_an_error_is_the_last_line() -> None:
    written = writer()
    stream = read_stream(written.feed(0, text("x")) + written.error(EngineDied("it died")))
    assert stream.last == {"error": "it died"}
    assert "server busy" in json.loads(written.error(QueueFull(1)))["error"]


def test_an_error_names_the_fields_of_the_request() -> None:
    def as_asked(_error: Exception) -> Exception:
        return InvalidRequest("options.top_k: too much", param="options.top_k")

    written = OllamaWriter("m", chat_body, 0, as_asked)
    assert json.loads(written.error(InvalidRequest("top_k: too much", param="top_k"))) == {
        "error": "options.top_k: too much"
    }


def test_times_are_counted_from_the_request() -> None:
    body = whole([text("x")])
    assert body["total_duration"] >= body["load_duration"] > 0


# ---------------------------------------------------------------- any answer

_TEXTS = st.text(alphabet=st.sampled_from('a"\\\n ü🦙{}'), max_size=6)
_CALLS = st.lists(
    st.sampled_from(['{"a": 1}', '{\n"b":\n"x\\ny"}', "{}", "", '{"c":[1,{"d":null}]}']),
    max_size=3,
)


@st.composite
def answers(draw: st.DrawFn) -> list[RequestEvent]:
    """Return the events of an answer: thoughts, text, calls, cut anywhere."""
    events: list[RequestEvent] = [thought(each) for each in draw(st.lists(_TEXTS, max_size=3))]
    events += [text(each) for each in draw(st.lists(_TEXTS, max_size=4))]
    for index, arguments in enumerate(draw(_CALLS)):
        n_cut = draw(st.integers(0, len(arguments)))
        events += call(index, arguments[:n_cut], arguments[n_cut:])
    if draw(st.booleans()):
        events = [each for event in events for each in (logprob(b"t"), event)]
    return events[: draw(st.integers(0, len(events)))]


@pytest.mark.parametrize("bodies", [chat_body, generate_body])
@given(events=answers(), reason=st.sampled_from(["stop", "length", "tool_calls"]))
def test_the_sum_of_the_lines_is_the_whole_answer(
    bodies: Bodies, events: list[RequestEvent], reason: str
) -> None:
    if bodies is generate_body:
        events = [each for each in events if not isinstance(each, ToolCallStart | ToolCallDelta)]
    stream, body = streamed(events, bodies, reason=reason), whole(events, bodies, reason=reason)
    message = body.get("message") or {"content": body.get("response"), **body}
    assert stream.text == message["content"]
    assert stream.thinking == (message.get("thinking") or "")
    assert stream.calls == (message.get("tool_calls") or [])
    assert stream.logprobs == (body.get("logprobs") or [])
    assert stream.last
    assert stream.last["done_reason"] == body["done_reason"]


@given(events=answers())
def test_an_engine_that_dies_ends_the_lines_with_an_error(events: list[RequestEvent]) -> None:
    written = writer()
    sent = b"".join(written.feed(0, event) for event in [STARTED, *events])
    assert read_stream(sent + written.error(EngineDied("gone"))).last == {"error": "gone"}
