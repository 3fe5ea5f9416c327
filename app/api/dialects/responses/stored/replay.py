"""Owns the events of a stream that is sent again: finding them, and making them; pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from app.api.dialects.responses.output_items import Event
from app.api.streaming.buffer import OffsetGone
from app.base.json_types import JsonObject

# Data is JSON, which has no line breaks: only an event's own line can match.
_EVENT = re.compile(rb'^event: [^\n]+\ndata: \{"type":"[^"]+","sequence_number":(\d+)', re.M)


def place_after(data: bytes, after: int, *, is_whole: bool = True) -> int:
    """Return where the events with higher numbers than `after` begin; the end if there are none.

    Args:
        data: events, maybe without the first ones.
        is_whole: whether it has the first ones.

    Raises:
        OffsetGone: the event that follows `after` is not among them any more.
    """
    for match in _EVENT.finditer(data):
        number = int(match[1])
        if number > after:
            if not is_whole and number > after + 1:
                raise OffsetGone(
                    f"starting_after: the events before {number} are not kept any more",
                    param="starting_after",
                )
            return match.start()
    return len(data)


def events_of(response: JsonObject) -> bytes:
    """Return a stream that yields a response which has ended, with each text in one piece."""
    begun = {
        **response,
        "status": "in_progress",
        "output": [],
        "usage": None,
        "completed_at": None,
        "incomplete_details": None,
        "error": None,
    }
    events: list[Event] = [("created", {"response": begun}), ("in_progress", {"response": begun})]
    for index, item in enumerate(response["output"]):
        events += _item_events(index, item)
    last = response["status"] if response["status"] in _LAST else "incomplete"
    events.append((last, {"response": response}))
    return b"".join(_frame(number, *event) for number, event in enumerate(events))


_LAST = ("completed", "incomplete", "failed")
_CALLS = {
    "function_call": ("function_call_arguments", "arguments"),
    "custom_tool_call": ("custom_tool_call_input", "input"),
}
_PARTS = {
    "content": ("content_part", "content_index"),
    "summary": ("reasoning_summary_part", "summary_index"),
}
_TEXTS = {
    "output_text": "output_text",
    "reasoning_text": "reasoning_text",
    "summary_text": "reasoning_summary_text",
}


def _item_events(index: int, item: JsonObject) -> Iterator[Event]:
    place = {"item_id": item["id"], "output_index": index}
    kind = item["type"]
    empty: JsonObject = {name: [] for name in _PARTS if name in item}
    if kind in _CALLS:
        empty[_CALLS[kind][1]] = ""
    added = {**item, **empty, "status": "in_progress"}
    yield "output_item.added", {"output_index": index, "item": added}
    if kind in _CALLS:
        name, field = _CALLS[kind]
        text = item[field]
        if text:
            yield f"{name}.delta", {**place, "delta": text}
        more = {"name": item["name"]} if kind == "function_call" else {}
        yield f"{name}.done", {**place, field: text, **more}
    for field, (part_event, index_name) in _PARTS.items():
        for number, part in enumerate(item.get(field) or ()):
            yield from _part_events({**place, index_name: number}, part_event, part)
    yield "output_item.done", {"output_index": index, "item": item}


def _part_events(place: dict[str, Any], part_event: str, part: JsonObject) -> Iterator[Event]:
    logprobs = {"logprobs": part["logprobs"]} if "logprobs" in part else {}
    empty = {**part, "text": "", **({"logprobs": []} if logprobs else {})}
    yield f"{part_event}.added", {**place, "part": empty}
    text_event = _TEXTS.get(part["type"])
    if text_event:
        yield f"{text_event}.delta", {**place, "delta": part["text"], **logprobs}
        yield f"{text_event}.done", {**place, "text": part["text"], **logprobs}
    yield f"{part_event}.done", {**place, "part": part}


def _frame(number: int, kind: str, fields: JsonObject) -> bytes:
    name = f"response.{kind}"
    data = {"type": name, "sequence_number": number, **fields}
    return b"event: %b\ndata: %b\n\n" % (name.encode(), msgspec.json.encode(data))
