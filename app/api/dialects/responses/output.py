"""Owns how an engine's events make up the output of a response, one item at a time; no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from app.api.dialects.responses.output_items import (
    CallItem,
    CustomCallItem,
    Event,
    MessageItem,
    OutputItem,
    ReasoningItem,
    Status,
)
from app.api.dialects.responses.tools import Toolbox
from app.base.json_types import JsonObject
from app.protocol import (
    ReasoningDelta,
    RequestEvent,
    TextDelta,
    TokenChance,
    TokenLogprob,
    TokenLogprobs,
    ToolCallDelta,
    ToolCallStart,
)


@dataclass(frozen=True, slots=True)
class ReasoningForm:
    """How thoughts are returned.

    Args:
        as_summary: as a summary; else as open text.
        encrypts: also in `encrypted_content`.
    """

    as_summary: bool = False
    encrypts: bool = False


class Output:
    """The output of one response.

    Args:
        toolbox: the tools that the model may call.
        form: how thoughts are returned.
    """

    def __init__(self, toolbox: Toolbox, form: ReasoningForm) -> None:
        self._toolbox = toolbox
        self._form = form
        self._items: list[OutputItem] = []
        self._open: OutputItem | None = None
        self._logprobs: list[JsonObject] = []

    @property
    def bodies(self) -> list[JsonObject]:
        """The items so far."""
        return [item.body for item in self._items]

    def add(self, event: RequestEvent) -> list[Event]:
        """Add one of the engine's events and return those of the stream."""
        match event:
            case TextDelta():
                return self._add_text(event.text)
            case ReasoningDelta():
                self._logprobs = []
                return self._add_thoughts(event.text)
            case ToolCallStart():
                self._logprobs = []
                return self._begin_call(event)
            case ToolCallDelta():
                self._logprobs = []
                if not isinstance(self._open, CallItem):
                    raise AssertionError("arguments without a call")
                return self._open.add(event.arguments)
            case TokenLogprobs():
                self._logprobs += map(_logprob, event.tokens)
                return []
            case _:
                return []

    def end(self, status: Status, *, needs_item: bool = False) -> list[Event]:
        """Close what is open and return its events.

        Args:
            status: of the last item.
            needs_item: whether an answer without text and calls gets an empty message.
        """
        events: list[Event] = []
        if isinstance(self._open, MessageItem) and self._logprobs:
            events += self._add_text("")
        says_something = any(not isinstance(item, ReasoningItem) for item in self._items)
        if needs_item and not says_something:
            events += self._add_text("")
        return events + self._close(status)

    def _add_text(self, text: str) -> list[Event]:
        logprobs, self._logprobs = self._logprobs, []
        if isinstance(self._open, MessageItem):
            return self._open.add(text, logprobs)
        message = MessageItem(len(self._items))
        return [*self._begin(message), *message.add(text, logprobs)]

    def _add_thoughts(self, text: str) -> list[Event]:
        if isinstance(self._open, ReasoningItem):
            return self._open.add(text)
        form = self._form
        thoughts = ReasoningItem(
            len(self._items), as_summary=form.as_summary, encrypts=form.encrypts
        )
        return [*self._begin(thoughts), *thoughts.add(text)]

    def _begin_call(self, event: ToolCallStart) -> list[Event]:
        tool = self._toolbox.by_model_name(event.name)
        kind = CustomCallItem if tool.kind == "custom" else CallItem
        return self._begin(kind(len(self._items), event.id, tool))

    def _begin(self, item: OutputItem) -> list[Event]:
        events = self._close("completed")
        self._items.append(item)
        self._open = item
        return [*events, *item.opened()]

    def _close(self, status: Status) -> list[Event]:
        item, self._open = self._open, None
        return item.closed(status) if item else []


def _logprob(token: TokenLogprob) -> JsonObject:
    return {**_chance(token), "top_logprobs": list(map(_chance, token.top))}


def _chance(chance: TokenChance) -> dict[str, Any]:
    return {
        "token": chance.piece.decode("utf-8", "replace"),
        "logprob": chance.logprob,
        "bytes": list(chance.piece),
    }
