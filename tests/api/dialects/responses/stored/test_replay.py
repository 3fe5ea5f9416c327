"""A stream is sent again from any event on, as it was or made anew from the response."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.api.dialects.responses.stored.replay import events_of, place_after
from app.api.streaming.buffer import OffsetGone
from tests.api.dialects.responses import stream_order

TEXT = {"type": "output_text", "text": "Hi", "annotations": [], "logprobs": []}
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "status": "completed",
    "content": [TEXT],
}
OPEN_THOUGHTS = {
    "id": "rs_1",
    "type": "reasoning",
    "status": "completed",
    "summary": [],
    "content": [{"type": "reasoning_text", "text": "Hm"}],
}
SUMMARY = {
    "id": "rs_2",
    "type": "reasoning",
    "status": "completed",
    "summary": [{"type": "summary_text", "text": "Hm"}],
}
CALL = {
    "id": "fc_1",
    "type": "function_call",
    "status": "completed",
    "call_id": "call_1",
    "name": "look",
    "arguments": '{"x": 1}',
}
CUSTOM = {
    "id": "ctc_1",
    "type": "custom_tool_call",
    "status": "incomplete",
    "call_id": "call_2",
    "name": "run",
    "input": "ls",
}


def response(*output: dict[str, Any], status: str = "completed") -> dict[str, Any]:
    made: dict[str, Any] = {"id": "resp_1", "object": "response", "status": status}
    details = {
        "usage": {"input_tokens": 1} if status != "failed" else None,
        "completed_at": 1 if status == "completed" else None,
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "error": {"code": "server_error", "message": "x"} if status == "failed" else None,
    }
    # What a client may put into a response must not look like an event.
    tricky = {"metadata": {"x": '\ndata: {"type":"x","sequence_number":7'}, "sequence_number": 9}
    return {**made, **details, **tricky, "output": list(output)}


@pytest.mark.parametrize("status", ["completed", "incomplete", "failed"])
@pytest.mark.parametrize(
    "output",
    [
        (),
        (MESSAGE,),
        (OPEN_THOUGHTS, MESSAGE),
        (SUMMARY, CALL, CUSTOM),
        ({**MESSAGE, "content": []},),
    ],
)
def test_a_made_stream_is_in_order_and_ends_with_the_response(
    output: tuple[dict[str, Any], ...], status: str
) -> None:
    whole = response(*output, status=status)
    events = stream_order.events_of(events_of(whole))
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert events[-1]["type"] == f"response.{status}"
    assert events[-1]["response"] == whole
    if all(item.get("content") != [] for item in output):
        assert stream_order.StreamOrder().take_all(events) == whole


def test_what_was_cancelled_ends_as_incomplete() -> None:
    events = stream_order.events_of(events_of(response(status="cancelled")))
    assert events[-1]["type"] == "response.incomplete"
    assert events[-1]["response"]["status"] == "cancelled"


def test_the_events_after_a_number_are_found() -> None:
    data = events_of(response(MESSAGE))
    numbers = range(len(stream_order.events_of(data)))
    for after in (-1, *numbers[:-1]):
        rest = stream_order.events_of(data[place_after(data, after) :])
        assert [event["sequence_number"] for event in rest] == list(numbers[after + 1 :])
    assert place_after(data, numbers[-1]) == len(data)
    assert place_after(data, 10**6) == len(data)
    assert place_after(b"", 3) == 0


def test_events_that_are_gone_are_told() -> None:
    data = events_of(response(MESSAGE))
    held = data[place_after(data, 3) + 5 :]  # the fifth event is cut
    with pytest.raises(OffsetGone) as refused:
        place_after(held, 3, is_whole=False)
    assert refused.value.param == "starting_after"
    first = held[place_after(held, 4, is_whole=False) :]
    assert json.loads(first.split(b"\n")[1][6:])["sequence_number"] == 5
