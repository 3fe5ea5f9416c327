"""The blocks of an answer, whatever the model writes and wherever it is cut."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import from_json

from app.api.dialects.anthropic.answer_blocks import AnswerBlocks, WholeContent
from app.protocol import Delta, ReasoningDelta, TextDelta, ToolCallDelta, ToolCallStart
from tests.api.dialects.anthropic.anthropic_requests import SIGNER, Reading

START: dict[str, Any] = {"id": "msg_1", "content": [], "stop_reason": None}


def text(content: str) -> Delta:
    return TextDelta(request_id="r", text=content)


def thought(content: str) -> Delta:
    return ReasoningDelta(request_id="r", text=content)


def call(index: int = 0) -> Delta:
    return ToolCallStart(request_id="r", index=index, id=f"call_{index}", name="f")


def arguments(content: str, index: int = 0) -> Delta:
    return ToolCallDelta(request_id="r", index=index, arguments=content)


def events_of(*deltas: Delta) -> list[dict[str, Any]]:
    """Return the events of an answer, up to its end."""
    blocks = AnswerBlocks(SIGNER)
    events = [event for delta in deltas for event in blocks.feed(delta)]
    return events + blocks.close()


def read(events: list[dict[str, Any]]) -> Reading:
    """Return a client that has read the events, which are in order."""
    reading = Reading()
    for event in [{"type": "message_start", "message": START}, *events]:
        reading.read(event)
    return reading


def content_of(*deltas: Delta) -> list[dict[str, Any]]:
    """Return the content of a whole answer."""
    whole = WholeContent()
    for event in events_of(*deltas):
        whole.add(event)
    return whole.content()


def block(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": kind, **fields}


def test_thoughts_text_and_calls_are_blocks_in_their_order() -> None:
    deltas = [
        *(thought("So"), thought("?"), text("Let me"), text(" see.")),
        *(call(), arguments('{"a"'), arguments(": 1}"), call(1), arguments("{}", 1)),
        text("Done."),
    ]
    assert content_of(*deltas) == [
        block("thinking", thinking="So?", signature=SIGNER.sign("So?")),
        block("text", text="Let me see."),
        block("tool_use", id="toolu_0", name="f", input={"a": 1}),
        block("tool_use", id="toolu_1", name="f", input={}),
        block("text", text="Done."),
    ]
    read(events_of(*deltas))


def test_an_empty_answer_has_no_block() -> None:
    assert events_of() == events_of(text(""), thought(""), text(" \n")) == []


@pytest.mark.parametrize("around", [[], [thought("So?")], [call(), arguments("{}")]])
def test_no_block_is_only_spaces(around: list[Delta]) -> None:
    kinds = [each["type"] for each in content_of(*around, text("\n"), text("\n"), call(1))]
    assert "text" not in kinds
    assert content_of(*around, text("\n"), text(" a "))[-1] == block("text", text="\n a ")


@pytest.mark.parametrize(
    ("pieces", "shown"),
    [
        ([], {}),
        ([""], {}),
        ([" "], {}),
        ([" ", '{"a": ', '"b'], {"a": "b"}),
        (['{"a": tr'], {}),
        (['{"a": [1, {"b": 2'], {"a": [1, {}]}),
        (["[1]"], {"arguments": "[1]"}),
        (["Rome", " now"], {"arguments": "Rome now"}),
    ],
)
def test_the_input_of_a_call_is_an_object_wherever_it_is_cut(
    pieces: list[str], shown: dict[str, Any]
) -> None:
    deltas = [call(), *map(arguments, pieces)]
    (whole,) = content_of(*deltas)
    streamed = from_json(read(events_of(*deltas)).input_text(0), allow_partial=True)
    assert isinstance(streamed, dict)
    assert whole["input"] == streamed
    if shown:
        assert streamed.keys() <= shown.keys()
    if pieces[:1] in (["[1]"], ["Rome"], []):
        assert streamed == shown


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)
PARTS = st.lists(
    st.tuples(st.just("text"), st.text(max_size=6))
    | st.tuples(st.just("thought"), st.text(max_size=6))
    | st.tuples(st.just("call"), st.dictionaries(st.text(max_size=3), JSON, max_size=3)),
    max_size=6,
)


@settings(max_examples=200)
@given(PARTS, st.data())
def test_events_are_in_order_and_their_sum_is_the_whole_answer(
    parts: list[tuple[str, Any]], data: st.DataObject
) -> None:
    deltas: list[Delta] = []
    n_calls = 0
    for kind, value in parts:
        if kind == "call":
            deltas.append(call(n_calls))
            pieces = json.dumps(value)
            cut = data.draw(st.integers(0, len(pieces)))
            deltas += [arguments(piece, n_calls) for piece in (pieces[:cut], pieces[cut:])]
            n_calls += 1
        else:
            deltas += [text(value) if kind == "text" else thought(value)]
    deltas = deltas[: data.draw(st.integers(0, len(deltas)))]
    reading = read(events_of(*deltas))
    assert reading.message is not None
    content = content_of(*deltas)
    streamed = reading.message["content"]
    for index, each in enumerate(streamed):
        if each["type"] == "tool_use":
            each["input"] = from_json(reading.input_text(index), allow_partial=True)
    assert content == streamed
    said = "".join(delta.text for delta in deltas if isinstance(delta, TextDelta))
    shown = "".join(each["text"] for each in content if each["type"] == "text")
    assert "".join(shown.split()) == "".join(said.split())
