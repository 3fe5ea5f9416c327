"""Owns the order of a stream of the Responses dialect: a state machine that refuses any other."""

from __future__ import annotations

import json
from typing import Any

Json = dict[str, Any]
ENDS = {"response.completed", "response.incomplete", "response.failed"}
TEXT_EVENTS = {
    "output_text": "text",
    "reasoning_text": "text",
    "reasoning_summary_text": "text",
    "function_call_arguments": "arguments",
    "custom_tool_call_input": "input",
}
OF_CALLS = {
    "function_call": "function_call_arguments",
    "custom_tool_call": "custom_tool_call_input",
}


def events_of(stream: bytes) -> list[Json]:
    """Return the data of a stream's events; each has its type as its name."""
    events = []
    for block in stream.decode().removesuffix("\n\n").split("\n\n"):
        name, data = block.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        events.append(event)
    return events


class StreamOrder:
    """Takes the events of one stream and asserts that each may follow those before it."""

    def __init__(self) -> None:
        self.items: list[Json] = []
        self.response: Json = {}
        self._n_events = 0
        self._open: Json | None = None
        self._part: Json | None = None
        self._texts: list[str] = []
        self._logprobs: list[Json] = []
        self._text_is_done = False

    def take_all(self, events: list[Json]) -> Json:
        """Take a whole stream and return the response that it ends with."""
        for event in events:
            self.take(event)
        assert self.response, "the stream has no end"
        return self.response

    def take(self, event: Json) -> None:
        """Take one event."""
        assert event["sequence_number"] == self._n_events
        self._n_events += 1
        assert not self.response, "an event after the end"
        kind = event["type"].removeprefix("response.")
        if self._n_events <= 2:
            assert kind == ("created", "in_progress")[self._n_events - 1]
        if kind in ("created", "in_progress"):
            begun = event["response"]
            assert (begun["status"], begun["output"], begun["usage"]) == ("in_progress", [], None)
        elif event["type"] in ENDS:
            self._end(kind, event["response"])
        elif kind == "output_item.added":
            self._item_added(event)
        else:
            assert event["output_index"] == len(self.items)
            self._in_item(kind, event)

    def _end(self, kind: str, response: Json) -> None:
        assert self._open is None
        assert (response["status"], response["output"]) == (kind, self.items)
        assert (response["error"] is not None) == (kind == "failed")
        assert (response["incomplete_details"] is not None) == (kind == "incomplete")
        assert (response["usage"] is None) == (kind == "failed")
        self.response = response

    def _item_added(self, event: Json) -> None:
        assert self._open is None
        assert event["output_index"] == len(self.items)
        self._open = event["item"]
        assert self._open["status"] == "in_progress"
        field = {"function_call": "arguments", "custom_tool_call": "input"}.get(self._open["type"])
        assert not (self._open[field] if field else self._open.get("content"))
        self._texts, self._logprobs, self._part, self._text_is_done = [], [], None, False

    def _in_item(self, kind: str, event: Json) -> None:
        assert self._open is not None
        if kind == "output_item.done":
            self._item_done(event["item"])
            return
        assert event["item_id"] == self._open["id"]
        name, _, step = kind.rpartition(".")
        if name in ("content_part", "reasoning_summary_part"):
            self._part_event(name, step, event)
            return
        assert name == self._text_event()
        assert not self._text_is_done
        if step == "delta":
            self._texts.append(event["delta"])
            self._logprobs += event.get("logprobs", [])
        else:
            assert step == "done"
            assert event[TEXT_EVENTS[name]] == "".join(self._texts)
            assert event.get("logprobs", []) == self._logprobs
            self._text_is_done = True

    def _text_event(self) -> str:
        """Return the kind of text that the open item may have now."""
        assert self._open is not None
        if self._open["type"] in OF_CALLS:
            return OF_CALLS[self._open["type"]]
        assert self._part is not None
        kind = str(self._part["type"])
        return {"summary_text": "reasoning_summary_text"}.get(kind, kind)

    def _part_event(self, name: str, step: str, event: Json) -> None:
        index = "summary_index" if name == "reasoning_summary_part" else "content_index"
        assert event[index] == 0
        if step == "added":
            assert self._part is None
            assert event["part"]["text"] == ""
        else:
            assert (step, self._text_is_done) == ("done", True)
            assert event["part"]["text"] == "".join(self._texts)
            assert event["part"].get("logprobs", []) == self._logprobs
        self._part = event["part"]

    def _item_done(self, item: Json) -> None:
        assert self._open is not None
        assert self._text_is_done
        fixed = ("id", "type", "call_id", "name", "namespace", "role")
        assert [item.get(key) for key in fixed] == [self._open.get(key) for key in fixed]
        assert item["status"] in ("completed", "incomplete")
        match item["type"]:
            case "message":
                assert item["content"] == [self._part]
            case "reasoning":
                assert [*item["summary"], *item.get("content", [])] == [self._part]
            case kind:
                assert item[TEXT_EVENTS[OF_CALLS[kind]]] == "".join(self._texts)
        self.items.append(item)
        self._open = None
