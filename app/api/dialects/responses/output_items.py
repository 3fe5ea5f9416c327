"""Owns the items of a response's output and the events that tell how each one grows; no I/O.

An item is opened, grows and is closed; `body` is what the response's `output` has of it. Whole and
streamed answers are made of the same items.
"""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from typing import Any, Literal

from app.api.dialects.responses.thoughts import sealed
from app.api.dialects.responses.tools import Tool
from app.api.dialects.responses.tools.text_argument import TextArgument
from app.base.json_types import JsonObject

Event = tuple[str, JsonObject]
"""The type of an event, without `response.`, and its fields."""

Status = Literal["completed", "incomplete"]


def _new_id(prefix: str) -> str:
    return f"{prefix}_{secrets.token_hex(12)}"


class OutputItem(ABC):
    """An item of the output.

    Args:
        index: its place in the output.
        body: the item as it begins.
    """

    def __init__(self, index: int, body: JsonObject) -> None:
        self.body = body
        self._index = index
        self._pieces: list[str] = []

    @property
    def _text(self) -> str:
        return "".join(self._pieces)

    def opened(self) -> list[Event]:
        """Return the events with which it begins."""
        return [self._item_event("output_item.added")]

    def closed(self, status: Status) -> list[Event]:
        """Complete the item and return the events with which it ends."""
        events = self._last_events()
        self.body["status"] = status
        return [*events, self._item_event("output_item.done")]

    @abstractmethod
    def _last_events(self) -> list[Event]:
        """Complete the item and return the events before its last one."""

    def _item_event(self, kind: str) -> Event:
        return kind, {"output_index": self._index, "item": dict(self.body)}

    def _event(self, kind: str, **fields: Any) -> Event:
        return kind, {"item_id": self.body["id"], "output_index": self._index, **fields}


class ReasoningItem(OutputItem):
    """What the model thinks.

    Args:
        index: its place in the output.
        as_summary: whether it is told as a summary; else as open text.
        encrypts: whether the item carries the thoughts in `encrypted_content`.
    """

    def __init__(self, index: int, *, as_summary: bool, encrypts: bool) -> None:
        body = {"id": _new_id("rs"), "type": "reasoning", "status": "in_progress", "summary": []}
        super().__init__(index, body if as_summary else {**body, "content": []})
        if encrypts:
            self.body["encrypted_content"] = None
        self._as_summary = as_summary
        self._text_event = "reasoning_summary_text" if as_summary else "reasoning_text"
        self._part_event = "reasoning_summary_part" if as_summary else "content_part"
        self._place = {"summary_index" if as_summary else "content_index": 0}

    def opened(self) -> list[Event]:
        """Return the events with which it begins."""
        begun = self._event(f"{self._part_event}.added", **self._place, part=self._part())
        return [*super().opened(), begun]

    def add(self, text: str) -> list[Event]:
        """Add a piece of the thoughts and return its events."""
        self._pieces.append(text)
        return [self._event(f"{self._text_event}.delta", **self._place, delta=text)]

    def _part(self) -> JsonObject:
        kind = "summary_text" if self._as_summary else "reasoning_text"
        return {"type": kind, "text": self._text}

    def _last_events(self) -> list[Event]:
        part = self._part()
        self.body["summary" if self._as_summary else "content"] = [part]
        if "encrypted_content" in self.body:
            self.body["encrypted_content"] = sealed(part["text"])
        return [
            self._event(f"{self._text_event}.done", **self._place, text=part["text"]),
            self._event(f"{self._part_event}.done", **self._place, part=part),
        ]


class MessageItem(OutputItem):
    """What the model says.

    Args:
        index: its place in the output.
    """

    def __init__(self, index: int) -> None:
        body = {"id": _new_id("msg"), "type": "message", "role": "assistant"}
        super().__init__(index, {**body, "status": "in_progress", "content": []})
        self._logprobs: list[JsonObject] = []

    def opened(self) -> list[Event]:
        """Return the events with which it begins."""
        begun = self._event("content_part.added", content_index=0, part=self._part())
        return [*super().opened(), begun]

    def add(self, text: str, logprobs: list[JsonObject]) -> list[Event]:
        """Add a piece of the text, with its log probabilities, and return its events."""
        self._pieces.append(text)
        self._logprobs += logprobs
        return [self._event("output_text.delta", content_index=0, delta=text, logprobs=logprobs)]

    def _part(self) -> JsonObject:
        part: JsonObject = {"type": "output_text", "text": self._text, "annotations": []}
        return {**part, "logprobs": list(self._logprobs)}

    def _last_events(self) -> list[Event]:
        part = self._part()
        self.body["content"] = [part]
        text, logprobs = part["text"], part["logprobs"]
        return [
            self._event("output_text.done", content_index=0, text=text, logprobs=logprobs),
            self._event("content_part.done", content_index=0, part=part),
        ]


class CallItem(OutputItem):
    """A call of a function.

    Args:
        index: its place in the output.
        call_id: what its output will refer to.
        tool: the called one.
    """

    _prefix, _type, _field = "fc", "function_call", "arguments"
    _text_event = "function_call_arguments"

    def __init__(self, index: int, call_id: str, tool: Tool) -> None:
        body = {"id": _new_id(self._prefix), "type": self._type, "status": "in_progress"}
        body |= {"call_id": call_id, "name": tool.name, self._field: ""}
        super().__init__(index, body | ({"namespace": tool.namespace} if tool.namespace else {}))

    def add(self, arguments: str) -> list[Event]:
        """Add a piece of the arguments and return its events."""
        return self._grown(arguments)

    def _grown(self, text: str) -> list[Event]:
        if not text:
            return []
        self._pieces.append(text)
        return [self._event(f"{self._text_event}.delta", delta=text)]

    def _last_events(self) -> list[Event]:
        self.body[self._field] = self._text
        done = self._event(f"{self._text_event}.done", **{self._field: self._text})
        if self._type == "function_call":
            done[1]["name"] = self.body["name"]
        return [done]


class CustomCallItem(CallItem):
    """A call of a custom tool.

    Args:
        index: its place in the output.
        call_id: what its output will refer to.
        tool: the called one.
    """

    _prefix, _type, _field = "ctc", "custom_tool_call", "input"
    _text_event = "custom_tool_call_input"

    def __init__(self, index: int, call_id: str, tool: Tool) -> None:
        super().__init__(index, call_id, tool)
        self._argument = TextArgument()

    def add(self, arguments: str) -> list[Event]:
        """Add a piece of the arguments and return the events of the text in it."""
        return self._grown(self._argument.feed(arguments))

    def _last_events(self) -> list[Event]:
        rest = self._grown(self._argument.end())
        return [*rest, *super()._last_events()]
