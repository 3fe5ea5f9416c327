"""Owns writing events as Ollama's answers: lines of JSON, or one object; no I/O."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from app.api.dialect import Writer
from app.api.dialects.ollama.lines import (
    Part,
    PartBody,
    call_body,
    end_body,
    head_body,
    logprobs_body,
)
from app.api.outcome import Outcome
from app.api.schemas.ollama import ollama_error_body
from app.protocol import (
    ReasoningDelta,
    RequestEvent,
    TextDelta,
    TokenLogprob,
    TokenLogprobs,
    ToolCallDelta,
    ToolCallStart,
)
from app.web.errors import fault_of

NDJSON = "application/x-ndjson"


@dataclass(slots=True)
class _Call:
    """A tool call whose arguments are still being written."""

    start: ToolCallStart
    arguments: list[str] = field(default_factory=list)

    def body(self) -> dict[str, Any] | None:
        return call_body(self.start.index, self.start.id, self.start.name, "".join(self.arguments))


class OllamaWriter(Writer):
    """The answer to one request, as lines or as one object.

    A tool call is one line, once it is whole; one that the limit cuts off is left out.

    Args:
        model: the name that the request gave it.
        part_body: how a part of the answer is written.
        asked_ns: when the request was read, on the monotonic clock; the model was there when the
            writer was made.
        as_asked: returns an error with the names that the request has for its fields.
    """

    stream_content_type = NDJSON

    def __init__(
        self,
        model: str,
        part_body: PartBody,
        asked_ns: int,
        as_asked: Callable[[Exception], Exception] = lambda error: error,
    ) -> None:
        self._model = model
        self._part_body = part_body
        self._asked_ns = asked_ns
        self._load_ns = time.monotonic_ns() - asked_ns
        self._as_asked = as_asked
        self._call: _Call | None = None
        self._logprobs: list[TokenLogprob] = []
        self._texts: list[str] = []
        self._thoughts: list[str] = []
        self._calls: list[dict[str, Any]] = []

    # ------------------------------------------------------------ streamed

    def feed(self, prompt_no: int, event: RequestEvent) -> bytes:
        """Return the lines for one event; the end of the answer is a line of `end`."""
        if isinstance(event, ToolCallDelta):
            self._add_arguments(event)
            return b""
        if isinstance(event, TokenLogprobs):
            self._logprobs += event.tokens
            return b""
        lines = self._ended_call(event)
        match event:
            case TextDelta() if event.text:
                lines += self._line(Part(text=event.text))
            case ReasoningDelta() if event.text:
                lines += self._line(Part(thinking=event.text))
            case ToolCallStart():
                self._call = _Call(event)
            case _:
                pass
        return lines

    def end(self, outcome: Outcome) -> bytes:
        """Return the last line, which has the counts and times."""
        return self._encoded(Part(), outcome) + b"\n"

    def ping(self) -> bytes:
        """Return a space: it may stand before the JSON object of a line, as a blank line may not.

        Clients read whole lines and parse each of them.
        """
        return b" "

    def error(self, error: Exception) -> bytes:
        """Return the line that ends a stream with an error."""
        body = ollama_error_body(fault_of(self._as_asked(error)))
        return msgspec.json.encode(body) + b"\n"

    def _line(self, part: Part) -> bytes:
        body = {
            **head_body(self._model),
            **self._part_body(part),
            **self._taken_logprobs(),
            "done": False,
        }
        return msgspec.json.encode(body) + b"\n"

    def _ended_call(self, event: RequestEvent) -> bytes:
        """Return the line of the call that ends with any event but more of its arguments."""
        call = self._taken_call()
        return self._line(Part(calls=[call])) if call else b""

    # ------------------------------------------------------------ whole

    def collect(self, prompt_no: int, event: RequestEvent) -> None:
        """Add one event to the answer."""
        match event:
            case ToolCallDelta():
                self._add_arguments(event)
                return
            case TokenLogprobs():
                self._logprobs += event.tokens
                return
            case _:
                pass
        if call := self._taken_call():
            self._calls.append(call)
        match event:
            case TextDelta():
                self._texts.append(event.text)
            case ReasoningDelta():
                self._thoughts.append(event.text)
            case ToolCallStart():
                self._call = _Call(event)
            case _:
                pass

    def whole(self, outcome: Outcome) -> bytes:
        """Return the one object of an answer that is not streamed."""
        part = Part("".join(self._texts), "".join(self._thoughts), self._calls)
        return self._encoded(part, outcome)

    # ------------------------------------------------------------ both

    def _encoded(self, part: Part, outcome: Outcome) -> bytes:
        total_ns = time.monotonic_ns() - self._asked_ns
        body = {
            **head_body(self._model),
            **self._part_body(part),
            **self._taken_logprobs(),
            **end_body(outcome.finished(), total_ns=total_ns, load_ns=self._load_ns),
        }
        return msgspec.json.encode(body)

    def _add_arguments(self, event: ToolCallDelta) -> None:
        if self._call is not None:
            self._call.arguments.append(event.arguments)

    def _taken_call(self) -> dict[str, Any] | None:
        call, self._call = self._call, None
        return call.body() if call else None

    def _taken_logprobs(self) -> dict[str, Any]:
        held, self._logprobs = self._logprobs, []
        return logprobs_body(held)
