"""Owns writing events as OpenAI's response object and as the events of its stream; no I/O."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import msgspec

from app.api.dialect import Writer
from app.api.dialects.responses.output import Output
from app.api.dialects.responses.output_items import Event
from app.api.dialects.responses.response import usage_body
from app.api.outcome import Outcome
from app.base.json_types import JsonObject
from app.protocol import RequestEvent
from app.web.errors import Fault, fault_of

_CUT = "length"
_CODES = {429: "rate_limit_exceeded"}


def nothing(_response: JsonObject) -> None:
    """Do nothing with a response that has ended."""


class ResponsesWriter(Writer):
    """The answer to one request, as a whole or as events.

    Args:
        response: the response object as it begins.
        output: makes up its output.
        on_end: gets the response object once it has ended, complete, incomplete or failed.
    """

    def __init__(
        self,
        response: JsonObject,
        output: Output,
        on_end: Callable[[JsonObject], None] = nothing,
    ) -> None:
        self._begun = response
        self._output = output
        self._on_end = on_end
        self._sequence_number = 0
        self._has_begun = False
        self._begun_json = msgspec.json.encode(response)
        self.response: JsonObject = response  # with its output once it has ended

    # ------------------------------------------------------------ whole

    def collect(self, prompt_no: int, event: RequestEvent) -> None:
        """Add one event to an answer that is not streamed."""
        self._output.add(event)

    def whole(self, outcome: Outcome) -> bytes:
        """Return the response object."""
        self._finish(outcome)
        return msgspec.json.encode(self.response)

    # ------------------------------------------------------------ streamed

    def begin(self) -> bytes:
        """Return the first events, unless a keep-alive was sent before."""
        if self._has_begun:
            return b""
        self._has_begun = True
        return self._state("created") + self._state("in_progress")

    def feed(self, prompt_no: int, event: RequestEvent) -> bytes:
        """Return the events of the stream for one of the engine's."""
        return self.begin() + self._framed(self._output.add(event))

    def end(self, outcome: Outcome) -> bytes:
        """Return the events with which the stream ends."""
        events = self._finish(outcome)
        return self.begin() + self._framed(events) + self._last()

    def ping(self) -> bytes:
        """Return an event: clients count those, not comments."""
        return self._state("in_progress") if self._has_begun else self.begin()

    def error(self, error: Exception) -> bytes:
        """Return the events that end a stream with an error."""
        begun = self.begin()
        events = self._output.end("incomplete")
        self._set_ended("failed", error=_error_body(fault_of(error)))
        return begun + self._framed(events) + self._last()

    # ------------------------------------------------------------ ends

    def _finish(self, outcome: Outcome) -> list[Event]:
        """Complete the response and return the events of its last items."""
        is_cut = outcome.finish_reason == _CUT
        usage = usage_body(outcome.usage)
        if is_cut:
            events = self._output.end("incomplete")
            reason = {"reason": "max_output_tokens"}
            self._set_ended("incomplete", incomplete_details=reason, usage=usage)
        else:
            events = self._output.end("completed", needs_item=True)
            self._set_ended("completed", completed_at=int(time.time()), usage=usage)
        return events

    def _set_ended(self, status: str, **fields: object) -> None:
        output = self._output.bodies
        self.response = {**self._begun, "status": status, "output": output, **fields}
        self._on_end(self.response)

    def _last(self) -> bytes:
        kind = str(self.response["status"])
        return self._frame(kind, b',"response":' + msgspec.json.encode(self.response))

    # ------------------------------------------------------------ framing

    def _state(self, kind: str) -> bytes:
        return self._frame(kind, b',"response":' + self._begun_json)

    def _framed(self, events: Iterable[Event]) -> bytes:
        return b"".join(
            self._frame(kind, b"," + msgspec.json.encode(fields)[1:-1]) for kind, fields in events
        )

    def _frame(self, kind: str, fields: bytes) -> bytes:
        number = self._sequence_number
        self._sequence_number += 1
        name = f"response.{kind}".encode()
        head = b'event: %b\ndata: {"type":"%b","sequence_number":%d' % (name, name, number)
        return head + fields + b"}\n\n"


def _error_body(fault: Fault) -> JsonObject:
    kind = _CODES.get(fault.status) or ("server_error" if fault.status >= 500 else fault.code)
    return {"code": kind or "invalid_prompt", "message": fault.message}
