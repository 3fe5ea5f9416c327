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
    Finished,
    PromptEcho,
    ReasoningDelta,
    RequestEvent,
    TextDelta,
    TokenLogprob,
    TokenLogprobs,
    TokensGenerated,
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
        self._context: list[int] = []
        self._collected: list[Part] = []

    # ------------------------------------------------------------ streamed

    def feed(self, prompt_no: int, event: RequestEvent) -> bytes:
        """Return the lines for one event; the end of the answer is a line of `end`."""
        parts = self._parts(event)
        return b"".join(map(self._line, parts)) if parts else b""

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

    # ------------------------------------------------------------ whole

    def collect(self, prompt_no: int, event: RequestEvent) -> None:
        """Add one event to the answer."""
        self._collected += self._parts(event)

    def whole(self, outcome: Outcome) -> bytes:
        """Return the one object of an answer that is not streamed."""
        part = Part(
            text="".join(part.text for part in self._collected),
            thinking="".join(part.thinking for part in self._collected),
            calls=[call for part in self._collected for call in part.calls],
        )
        return self._encoded(part, outcome)

    # ------------------------------------------------------------ both

    def _encoded(self, part: Part, outcome: Outcome) -> bytes:
        total_ns = time.monotonic_ns() - self._asked_ns
        body = {
            **head_body(self._model),
            **self._part_body(part),
            **self._taken_logprobs(),
            **({"context": self._context} if self._context else {}),
            **end_body(outcome.finished(), total_ns=total_ns, load_ns=self._load_ns),
        }
        return msgspec.json.encode(body)

    def _parts(self, event: RequestEvent) -> list[Part]:
        """Return what an event adds to the answer; a call ends where something else begins."""
        match event:
            case TextDelta() if event.text:
                return [*self._ended_call(), Part(text=event.text)]
            case ReasoningDelta() if event.text:
                return [*self._ended_call(), Part(thinking=event.text)]
            case ToolCallStart():
                ended = self._ended_call()
                self._call = _Call(event)
                return ended
            case ToolCallDelta() if self._call is not None:
                self._call.arguments.append(event.arguments)
            case TokenLogprobs():
                self._logprobs += event.tokens
            case PromptEcho():
                self._context = list(event.ids)
            case TokensGenerated():
                self._context += event.tokens
            case Finished():
                return self._ended_call()
            case _:
                pass
        return []

    def _ended_call(self) -> list[Part]:
        call = self._taken_call()
        return [Part(calls=[call])] if call else []

    def _taken_call(self) -> dict[str, Any] | None:
        call, self._call = self._call, None
        return call.body() if call else None

    def _taken_logprobs(self) -> dict[str, Any]:
        held, self._logprobs = self._logprobs, []
        return logprobs_body(held)
