"""Owns writing a response that is stored before its end is sent."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec

from app.api.dialects.responses.output import Output
from app.api.dialects.responses.writer import ResponsesWriter, nothing
from app.api.outcome import Outcome
from app.base.json_types import JsonObject

MAX_EVENT_BYTES = 4 * 1024 * 1024


class Keep(Protocol):
    """Stores a response."""

    def __call__(self, response: JsonObject, events: bytes, /) -> Awaitable[bool]:
        """Store a response object and its stream; return whether it is stored."""


class StoringWriter(ResponsesWriter):
    """The answer to one request, which is stored once it has ended.

    Args:
        response: the response object as it begins.
        output: makes up its output.
        on_end: gets the response object once it has ended.
        keep: stores it.
        is_streamed: whether its events are stored too.
        outlives_failure: whether a response that failed is stored, by somebody else.
    """

    def __init__(
        self,
        response: JsonObject,
        output: Output,
        on_end: Callable[[JsonObject], None] = nothing,
        *,
        keep: Keep,
        is_streamed: bool,
        outlives_failure: bool = False,
    ) -> None:
        self._events: list[bytes] = []
        self._n_event_bytes = 0
        self._is_recording = is_streamed
        self._keep = keep
        self._tail: bytes | None = None
        self._outlives_failure = outlives_failure
        super().__init__(response, output, on_end)

    @property
    def events(self) -> bytes:
        """The stream so far; empty if it is not streamed, or too long."""
        return b"".join(self._events)

    async def settle(self, outcome: Outcome) -> None:
        """Store the response; one that cannot be stored says so."""
        tail = self._framed(self._finish(outcome))
        number = self._sequence_number
        last = self._last()
        if not await self._keep(self.response, self.events):
            self.response = {**self.response, "store": False}
            self._sequence_number = number
            last = self._last()
        self._tail = tail + last

    def end(self, outcome: Outcome) -> bytes:
        """Return the events with which the stream ends."""
        return super().end(outcome) if self._tail is None else self._tail

    def whole(self, outcome: Outcome) -> bytes:
        """Return the response object."""
        if self._tail is None:
            return super().whole(outcome)
        return msgspec.json.encode(self.response)

    def cancelled(self) -> JsonObject:
        """Return the response object of an answer that was cancelled, with what there is of it."""
        self._output.end("incomplete")
        self._set_ended("cancelled")
        return self.response

    def error(self, error: Exception) -> bytes:
        """Return the events that end a stream with an error."""
        begun = self.begin()
        if not self._outlives_failure:
            self._begun = {**self._begun, "store": False}
        return begun + super().error(error)

    def _frame(self, kind: str, fields: bytes) -> bytes:
        data = super()._frame(kind, fields)
        if self._is_recording:
            self._events.append(data)
            self._n_event_bytes += len(data)
            if self._n_event_bytes > MAX_EVENT_BYTES:
                self._is_recording = False
                self._events = []
        return data
