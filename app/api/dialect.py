"""Owns what a dialect is: an API that clients speak, as the shared driver sees it.

A dialect reads a request's body and headers into an `Ask`, writes an engine's events as its own
bytes and declares its routes. `app.api.answering` does all else, for every dialect alike.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.api.defaults import Defaults
from app.api.outcome import Outcome
from app.api.route import Route
from app.protocol import Generate, ModelInfo, RequestEvent
from app.web import framing
from app.web.errors import ErrorShape, error_body

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class ServedModel:
    """The model that is to answer.

    Args:
        name: its file name.
        info: what the engine reported of it.
        defaults: what a request gets that does not say otherwise.
    """

    name: str
    info: ModelInfo
    defaults: Defaults


class Writer(ABC):
    """Writes the answer to one request, either whole or as a stream.

    Events have the number of the prompt they belong to: its index in `Ask.commands`' list. `Failed`
    is never among them.
    """

    content_type = JSON
    stream_content_type = framing.CONTENT_TYPE
    stream_headers: Mapping[str, str] = framing.HEADERS

    @abstractmethod
    def collect(self, prompt_no: int, event: RequestEvent) -> None:
        """Add one event to an answer that is not streamed."""

    @abstractmethod
    def whole(self, outcome: Outcome) -> bytes:
        """Return the body of an answer that is not streamed, after its last event."""

    @abstractmethod
    def feed(self, prompt_no: int, event: RequestEvent) -> bytes:
        """Return what a stream sends for one event, framed; may be empty."""

    @abstractmethod
    def end(self, outcome: Outcome) -> bytes:
        """Return what a stream sends after the last event."""

    def ping(self) -> bytes:
        """Return what a stream sends after a time of silence."""
        return framing.PING

    @abstractmethod
    def error(self, error: Exception) -> bytes:
        """Return what a stream that has begun sends in place of its end."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A request for answers, read and validated.

    Args:
        reply_id: the answer's id, which the log line of the request names too.
        model: the file name of the model that is asked; None is the one that serves.
        overrides: load parameters, for where the model has to be loaded.
        stream: whether the answer is streamed.
        commands: returns what engines are told, one command for each prompt; each has a
            `request_id` of its own. Raises InvalidRequest where only the model can judge a value.
        writer: returns what writes the answer to these commands.
    """

    reply_id: str
    model: str | None
    overrides: Mapping[str, Any]
    stream: bool
    commands: Callable[[ServedModel], Sequence[Generate]]
    writer: Callable[[ServedModel, Sequence[Generate]], Writer]


Reader = Callable[[bytes, Mapping[str, str]], Ask]
"""Reads the body and the headers of a request, their names in any case; raises InvalidRequest."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """An API that clients speak.

    Args:
        name: of its group of routes.
        routes: those that are answered by engines have the handler `answers(read)` of
            `app.api.answering.driver`.
        error_body: the shape of its errors outside of streams, also of those that the gate and the
            connection answer with on its paths.
    """

    name: str
    routes: tuple[Route, ...]
    error_body: ErrorShape = error_body
