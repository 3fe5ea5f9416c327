"""An engine's events become one response object, and the same one as a stream of events.

It covers `app.api.dialects.responses.response`, `app.api.dialects.responses.output` and
`app.api.dialects.responses.output_items`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.dialects.responses.answer_schemas import ResponseObject
from app.api.dialects.responses.reader import ask_of, reading_of
from app.api.dialects.responses.writer import ResponsesWriter
from app.api.outcome import Outcome
from app.errors import DeadlineExceeded, EngineDied, InvalidRequest, QueueFull
from app.protocol import (
    Finished,
    ReasoningDelta,
    RequestEvent,
    Started,
    TextDelta,
    TokenChance,
    TokenLogprob,
    TokenLogprobs,
    ToolCallDelta,
    ToolCallStart,
    Usage,
)
from tests.api.dialects.responses.stream_order import Json, StreamOrder, events_of
from tests.api.requests import served
from tests.host.fake_engine import TIMINGS

TOOLS: list[Json] = [
    {"type": "function", "name": "weather", "parameters": {"type": "object"}},
    {"type": "custom", "name": "patch"},
    {"type": "namespace", "name": "home", "tools": [{"type": "function", "name": "light"}]},
    {"type": "web_search"},
]
USAGE = Usage(prompt_tokens=10, cached_tokens=4, completion_tokens=3, reasoning_tokens=2)
STARTED = Started(request_id="r", prompt_tokens=10, cached_tokens=4)
ENCRYPTED = "reasoning.encrypted_content"
VARYING = ("id", "created_at", "completed_at", "call_id")


def writer_of(
    ended: list[Json] | None = None, **fields: Any
) -> tuple[ResponsesWriter, Sequence[Any]]:
    body = json.dumps({"input": "Hi", "tools": TOOLS, **fields}).encode()
    ask = ask_of(reading_of(body), on_end=(ended if ended is not None else []).append)
    model = served()
    commands = ask.commands(model)
    writer = ask.writer(model, commands)
    assert isinstance(writer, ResponsesWriter)
    return writer, commands


def text(piece: str) -> TextDelta:
    return TextDelta(request_id="r", text=piece)


def thought(piece: str) -> ReasoningDelta:
    return ReasoningDelta(request_id="r", text=piece)


def call(name: str, *arguments: str, index: int = 0) -> list[RequestEvent]:
    start = ToolCallStart(request_id="r", index=index, id=f"call_{index}", name=name)
    pieces = [ToolCallDelta(request_id="r", index=index, arguments=piece) for piece in arguments]
    return [start, *pieces]


def logprobs(*pieces: str) -> TokenLogprobs:
    top = [TokenChance(piece=b"x", logprob=-1.5)]
    tokens = [TokenLogprob(piece=piece.encode(), logprob=-0.5, top=top) for piece in pieces]
    return TokenLogprobs(request_id="r", tokens=tokens)


def finished(reason: str = "stop") -> Finished:
    return Finished(request_id="r", reason=reason, usage=USAGE, timings=TIMINGS)


def outcome_of(commands: Sequence[Any], end: Finished) -> Outcome:
    outcome = Outcome(commands)
    outcome.note(0, [end])
    return outcome


def streamed(events: Sequence[RequestEvent], reason: str = "stop", **fields: Any) -> list[Json]:
    writer, commands = writer_of(stream=True, **fields)
    end = finished(reason)
    parts = [writer.begin(), *(writer.feed(0, event) for event in [STARTED, *events, end])]
    return events_of(b"".join(parts) + writer.end(outcome_of(commands, end)))


def whole(events: Sequence[RequestEvent], reason: str = "stop", **fields: Any) -> Json:
    writer, commands = writer_of(**fields)
    end = finished(reason)
    for event in [STARTED, *events, end]:
        writer.collect(0, event)
    body: Json = json.loads(writer.whole(outcome_of(commands, end)))
    return body


def constant(value: Any) -> Any:
    """Return a response without what differs from one to the next."""
    if isinstance(value, list):
        return [constant(each) for each in value]
    if isinstance(value, dict):
        return {key: constant(each) for key, each in value.items() if key not in VARYING}
    return value


# ---------------------------------------------------------------- any answer

PIECES = st.text(st.sampled_from('ab "\\\n{}é🦙'), min_size=1, max_size=4)


@st.composite
def answers(draw: st.DrawFn) -> list[RequestEvent]:
    """Return the events of an answer: texts, thoughts and calls in any order."""
    events: list[RequestEvent] = []
    n_calls = 0
    for kind in draw(st.lists(st.sampled_from("ttrrlwpnu"), max_size=8)):
        pieces = draw(st.lists(PIECES, min_size=1, max_size=3))
        if kind == "t":
            events += map(text, pieces)
        elif kind == "r":
            events += map(thought, pieces)
        elif kind == "l":
            events.append(logprobs(*pieces))
        else:
            names = {"w": "weather", "p": "patch", "n": "home__light", "u": "unknown"}
            arguments = pieces
            if kind == "p" and draw(st.booleans()):
                written = json.dumps({"input": "".join(pieces)}, ensure_ascii=draw(st.booleans()))
                at = draw(st.integers(0, len(written)))
                arguments = [written[:at], written[at:]]
            events += call(names[kind], *arguments, index=n_calls)
            n_calls += 1
    return events[: draw(st.integers(0, len(events)))] if draw(st.booleans()) else events


OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "reasoning": st.sampled_from([{"summary": "auto"}, {"effort": "low"}]),
        "include": st.just([ENCRYPTED]),
    },
)


@given(answers(), st.sampled_from(["stop", "length", "tool_calls"]), OPTIONS)
def test_a_stream_is_in_order_and_its_sum_is_the_whole_answer(
    events: list[RequestEvent], reason: str, options: Json
) -> None:
    response = StreamOrder().take_all(streamed(events, reason, **options))
    ResponseObject.model_validate(response, extra="forbid")
    assert response["status"] == ("incomplete" if reason == "length" else "completed")
    assert constant(response) == constant(whole(events, reason, **options))
    said = [item for item in response["output"] if item["type"] == "message"]
    spoken = "".join(part["text"] for item in said for part in item["content"])
    assert spoken == "".join(event.text for event in events if isinstance(event, TextDelta))
    *others, last = response["output"] or [{"status": "completed"}]
    assert {item["status"] for item in others} <= {"completed"}
    assert (last["status"] == "incomplete") <= (reason == "length")


@given(answers(), OPTIONS, st.booleans(), st.integers(0, 3))
def test_a_stream_that_fails_is_in_order_and_ends_with_what_was_said(
    events: list[RequestEvent], options: Json, has_begun: bool, n_pings: int
) -> None:
    ended: list[Json] = []
    writer, _ = writer_of(ended, stream=True, **options)
    parts = [writer.begin()] if has_begun else []
    parts += [writer.ping() for _ in range(n_pings)]
    if has_begun:
        parts += [writer.feed(0, event) for event in [STARTED, *events]]
    stream = b"".join(parts) + writer.error(EngineDied("gone"))
    response = StreamOrder().take_all(events_of(stream))
    assert response["error"] == {"code": "server_error", "message": "gone"}
    assert ended == [response]


# ---------------------------------------------------------------- responses


def test_a_response_has_all_keys_and_what_was_asked_for() -> None:
    asked: Json = {
        "instructions": "Be brief.",
        "max_output_tokens": 20,
        "max_tool_calls": 3,
        "metadata": {"a": "b"},
        "parallel_tool_calls": False,
        "prompt_cache_key": "k",
        "safety_identifier": "s",
        "temperature": 0.25,
        "top_p": 0.5,
        "tool_choice": "none",
        "truncation": "auto",
        "user": "u",
    }
    response = whole([text("Hi")], **asked)
    ResponseObject.model_validate(response, extra="forbid")
    assert {key: response[key] for key in asked} == asked
    assert response["tools"] == TOOLS
    assert response["object"] == "response"
    assert response["completed_at"] >= response["created_at"]
    assert response["store"] is False
    assert response["text"] == {"format": {"type": "text"}}
    assert response["model"] == "m.gguf"
    assert response["usage"] == {
        "input_tokens": 10,
        "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0},
        "output_tokens": 3,
        "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 13,
    }


def test_the_form_of_the_text_is_told_as_it_was_asked_for() -> None:
    form = {"type": "json_schema", "name": "A", "schema": {"type": "object"}, "strict": True}
    response = whole([text("{}")], text={"format": form, "verbosity": "low"})
    assert response["text"] == {"format": form, "verbosity": "low"}


def test_ids_of_items_differ_from_those_of_calls() -> None:
    (item,) = whole(call("weather", "{}"), "tool_calls")["output"]
    assert item["call_id"] == "call_0"
    assert item["id"].startswith("fc_")


def test_a_response_that_was_cut_says_why() -> None:
    response = whole([text("Hi")], "length")
    assert response["incomplete_details"] == {"reason": "max_output_tokens"}
    assert response["completed_at"] is None


SILENT: list[list[RequestEvent]] = [[], [thought("hm")]]


@pytest.mark.parametrize("events", SILENT)
def test_an_answer_of_no_words_has_an_empty_message(events: list[RequestEvent]) -> None:
    *_, message = whole(events)["output"]
    assert message["content"][0]["text"] == ""


# ---------------------------------------------------------------- items


def test_thoughts_are_open_text_unless_a_summary_is_asked_for() -> None:
    item, _ = whole([thought("a"), thought("b"), text("c")])["output"]
    assert (item["summary"], item["content"]) == ([], [{"type": "reasoning_text", "text": "ab"}])
    assert "encrypted_content" not in item
    item, _ = whole([thought("ab"), text("c")], reasoning={"summary": "auto"})["output"]
    assert item["summary"] == [{"type": "summary_text", "text": "ab"}]
    assert "content" not in item


def test_a_custom_tools_call_has_its_text() -> None:
    events = call("patch", '{"in', 'put": "a\\', 'n\\u00e9"}')
    (item,) = whole(events, "tool_calls")["output"]
    assert (item["type"], item["name"], item["input"]) == ("custom_tool_call", "patch", "a\né")
    deltas = [event["delta"] for event in streamed(events) if event["type"].endswith("input.delta")]
    assert deltas == ["a", "\né"]


def test_a_call_within_a_namespace_names_both() -> None:
    (item,) = whole(call("home__light", "{}"), "tool_calls")["output"]
    assert (item["name"], item["namespace"]) == ("light", "home")


def test_logprobs_belong_to_the_text_that_shows_them() -> None:
    thoughts: list[RequestEvent] = [logprobs("hm"), thought("hm")]
    shown: list[RequestEvent] = [logprobs("H"), logprobs("i"), text("Hi"), logprobs("!")]
    response = whole([*thoughts, *shown], include=["message.output_text.logprobs"])
    chance = {"logprob": -0.5, "top_logprobs": [{"token": "x", "logprob": -1.5, "bytes": [120]}]}
    assert response["output"][1]["content"][0]["logprobs"] == [
        {"token": piece, "bytes": list(piece.encode()), **chance} for piece in "Hi!"
    ]


# ---------------------------------------------------------------- keep-alives and ends


def test_the_keep_alive_is_an_event_and_begins_the_stream_where_nothing_has() -> None:
    writer, _ = writer_of()
    assert [event["type"] for event in events_of(writer.ping())] == [
        "response.created",
        "response.in_progress",
    ]
    assert writer.begin() == b""
    (event,) = events_of(writer.ping())
    assert (event["type"], event["sequence_number"]) == ("response.in_progress", 2)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (EngineDied("x"), "server_error"),
        (DeadlineExceeded("x"), "server_error"),
        (RuntimeError("x"), "server_error"),
        (QueueFull(3), "rate_limit_exceeded"),
        (InvalidRequest("x", code="context_length_exceeded"), "context_length_exceeded"),
    ],
)
def test_a_failure_is_a_response_with_a_code_that_clients_know(error: Exception, code: str) -> None:
    writer, _ = writer_of()
    *_, last = events_of(writer.begin() + writer.error(error))
    assert last["type"] == "response.failed"
    assert last["response"]["error"]["code"] == code


@pytest.mark.parametrize("reason", ["stop", "length"])
def test_whoever_keeps_responses_gets_the_one_that_clients_get(reason: str) -> None:
    ended: list[Json] = []
    writer, commands = writer_of(ended)
    writer.feed(0, text("Hi"))
    sent = json.loads(writer.whole(outcome_of(commands, finished(reason))))
    assert ended == [writer.response] == [sent]
