"""An engine's events become Anthropic's messages, whole or in events."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from app import errors
from app.api.dialects.anthropic.writer import MessageWriter, Reply
from app.api.outcome import Outcome
from app.protocol import (
    Finished,
    PromptProgress,
    ReasoningDelta,
    RequestEvent,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStart,
    Usage,
)
from tests.api.dialects.anthropic.anthropic_requests import SIGNER, Reading, events_of
from tests.api.requests import command
from tests.host.fake_engine import TIMINGS

STARTED = Started(request_id="r", prompt_tokens=10, cached_tokens=8)
USAGE = Usage(prompt_tokens=10, cached_tokens=8, completion_tokens=3, reasoning_tokens=2)
HI = TextDelta(request_id="r", text='Grüße "🦙"\n')
EVENTS: list[RequestEvent] = [
    STARTED,
    PromptProgress(request_id="r", total=10, cache=8, processed=10, time_ms=1.0),
    ReasoningDelta(request_id="r", text="So?"),
    HI,
    ToolCallStart(request_id="r", index=0, id="call_1", name="f"),
    ToolCallDelta(request_id="r", index=0, arguments='{"a": 1}'),
]


def finished(reason: str = "stop", **fields: Any) -> Finished:
    end = Finished(request_id="r", reason=reason, usage=USAGE, timings=TIMINGS)
    return msgspec.structs.replace(end, **fields)


def writer(**fields: Any) -> MessageWriter:
    reply = {
        "id": "msg_1",
        "model": "claude-local",
        "request_id": "req",
        "max_tokens": 3,
        "stop_sequences": ["END"],
    }
    return MessageWriter(Reply(**{**reply, **fields}), SIGNER)


def outcome_of(end: Finished) -> Outcome:
    outcome = Outcome([command()])
    outcome.note(0, [end])
    return outcome


def whole(events: list[RequestEvent], end: Finished, **fields: Any) -> dict[str, Any]:
    answer = writer(**fields)
    for event in [*events, end]:
        answer.collect(0, event)
    body: dict[str, Any] = json.loads(answer.whole(outcome_of(end)))
    return body


def streamed(events: list[RequestEvent], end: Finished, **fields: Any) -> dict[str, Any]:
    """Return the message that a client reads from a stream, which ends."""
    answer = writer(**fields)
    sent = answer.begin() + answer.ping()
    sent += b"".join(answer.feed(0, event) for event in [*events, end])
    reading = Reading()
    for event in events_of(sent + answer.end(outcome_of(end))):
        reading.read(event)
    assert reading.is_over
    assert reading.message is not None
    for index, block in enumerate(reading.message["content"]):
        if block["type"] == "tool_use":
            block["input"] = json.loads(reading.input_text(index))
    return reading.message


def test_a_whole_answer_has_the_documented_shape() -> None:
    assert whole(EVENTS, finished("tool_calls")) == {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-local",
        "content": [
            {"type": "thinking", "thinking": "So?", "signature": SIGNER.sign("So?")},
            {"type": "text", "text": 'Grüße "🦙"\n'},
            {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": 1}},
        ],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 2,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 8,
            "output_tokens": 3,
            "output_tokens_details": {"thinking_tokens": 2},
        },
    }


@pytest.mark.parametrize(
    ("marked", "cached", "expected"),
    [
        (0, 8, (2, 0, 8)),
        (9, 8, (1, 1, 8)),
        (10, 0, (0, 10, 0)),
        (6, 0, (4, 6, 0)),
        (6, 8, (2, 0, 8)),
    ],
)
def test_each_token_of_the_prompt_is_counted_once(
    marked: int, cached: int, expected: tuple[int, int, int]
) -> None:
    usage = Usage(prompt_tokens=10, cached_tokens=cached, completion_tokens=3, marked_tokens=marked)
    told = whole([HI], finished(usage=usage))["usage"]
    names = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    assert tuple(told[name] for name in names) == expected
    assert streamed([HI], finished(usage=usage))["usage"] == told


@pytest.mark.parametrize("n_events", range(len(EVENTS) + 1))
def test_a_stream_is_the_whole_answer_in_pieces(n_events: int) -> None:
    events, end = EVENTS[:n_events], finished("length")
    assert streamed(events, end) == whole(events, end)


def test_a_stream_begins_with_the_message_and_has_pings_only_in_it() -> None:
    answer = writer()
    assert answer.ping() == b""
    (start,) = events_of(answer.begin())
    assert start["type"] == "message_start"
    assert start["message"]["usage"]["input_tokens"] == 0
    assert events_of(answer.ping()) == [{"type": "ping"}]
    assert answer.feed(0, STARTED) == b""


@pytest.mark.parametrize(
    ("end", "fields", "expected"),
    [
        (finished(), {}, ("end_turn", None)),
        (finished(stop_string="END"), {}, ("stop_sequence", "END")),
        (finished(stop_string="</s>"), {}, ("end_turn", None)),
        (finished("tool_calls"), {}, ("tool_use", None)),
        (finished("length"), {}, ("max_tokens", None)),
        (finished("length"), {"max_tokens": 4}, ("model_context_window_exceeded", None)),
        (finished("length"), {"max_tokens": None}, ("model_context_window_exceeded", None)),
    ],
)
def test_it_is_told_why_the_answer_ended(
    end: Finished, fields: dict[str, Any], expected: tuple[str, str | None]
) -> None:
    for body in (whole([HI], end, **fields), streamed([HI], end, **fields)):
        assert (body["stop_reason"], body["stop_sequence"]) == expected


def test_a_prompt_that_is_only_prefilled_has_an_empty_answer() -> None:
    body = whole([STARTED, HI], finished("length"), is_empty=True, max_tokens=1)
    assert body["content"] == []
    assert (body["stop_reason"], body["usage"]["output_tokens"]) == ("max_tokens", 0)
    assert streamed([STARTED, HI], finished("length"), is_empty=True, max_tokens=1) == body


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (errors.EngineDied("The engine died"), "overloaded_error"),
        (errors.RequestQuarantined("It crashes engines"), "api_error"),
        (errors.GrammarFailed("too large", param="tools"), "invalid_request_error"),
        (RuntimeError("secret"), "api_error"),
    ],
)
def test_an_error_inside_a_stream_is_its_last_event(error: Exception, kind: str) -> None:
    answer = writer()
    sent = answer.begin() + answer.feed(0, HI) + answer.error(error)
    reading = Reading()
    for event in events_of(sent):
        reading.read(event)
    assert reading.is_over
    assert reading.error is not None
    assert reading.error["type"] == kind
    assert "secret" not in sent.decode()
    assert events_of(sent)[-1]["request_id"] == "req"


def test_an_error_names_the_field_as_anthropic_does() -> None:
    answer = writer(param_of=lambda param: param.upper())
    error = errors.InvalidRequest("tools: x", param="tools")
    (event,) = events_of(answer.error(error))
    assert (event["error"]["param"], event["error"]["message"]) == ("TOOLS", "TOOLS: x")
