"""Owns the interface of a dialect: an API that clients use, as the shared driver sees it.

A dialect reads a request's body and headers into an `Ask`, encodes an engine's events and
declares its routes. `app.api.answering` does the rest, for every dialect.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from app.api.defaults import Defaults
from app.api.outcome import Outcome
from app.api.route import Route
from app.protocol import Generate, ModelInfo, RequestEvent
from app.web import framing
from app.web.errors import ErrorShape, error_body

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class ServedModel:
    """The model that will answer.

    Args:
        name: its file name.
        info: as reported by the engine.
        defaults: values of fields that a request does not set.
        asked: the name that the request gave it, which the answer repeats; empty for none.
    """

    name: str
    info: ModelInfo
    defaults: Defaults
    asked: str = ""

    @property
    def reply_name(self) -> str:
        """The name of the model in the answer."""
        return self.asked or self.name


class Writer(ABC):
    """Writes the answer to one request, either whole or as a stream.

    Events have the number of the prompt they belong to: its index in `Ask.commands`' list.
    `Accepted` and `Failed` are never among them.
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

    def begin(self) -> bytes:
        """Return what a stream sends once the engine has accepted the request, before any event.

        Where it is not empty, all errors after it are events of the stream.
        """
        return b""

    @abstractmethod
    def feed(self, prompt_no: int, event: RequestEvent) -> bytes:
        """Return the framed bytes that a stream sends for one event; may be empty."""

    async def settle(self, outcome: Outcome) -> None:  # noqa: B027  # most have nothing to do
        """Do what has to be done before the end of an answer, whole or streamed, is written."""

    @abstractmethod
    def end(self, outcome: Outcome) -> bytes:
        """Return the bytes that a stream sends after the last event."""

    def ping(self) -> bytes:
        """Return the keep-alive that a stream sends when idle."""
        return framing.PING

    @abstractmethod
    def error(self, error: Exception) -> bytes:
        """Return the bytes that a stream sends instead of its end."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A request for answers, read and validated.

    Args:
        reply_id: the id of the answer, also logged.
        model: the requested model's name, as asked for; None is the loaded one.
        overrides: load parameters, used if the model has to be loaded.
        stream: whether the answer is streamed.
        commands: returns one command for each prompt, each with its own `request_id`. Raises
            InvalidRequest if a value is invalid for the model.
        writer: returns the writer of the answer to these commands.
    """

    reply_id: str
    model: str | None
    overrides: Mapping[str, Any]
    stream: bool
    commands: Callable[[ServedModel], Sequence[Generate]]
    writer: Callable[[ServedModel, Sequence[Generate]], Writer]

    def limited_commands(self, model: ServedModel) -> list[Generate]:
        """Return the commands, none of which generates more than the model's limit.

        Raises:
            InvalidRequest: as `commands`.
        """
        limited = model.defaults.limited
        return [
            msgspec.structs.replace(command, max_tokens=limited(command.max_tokens))
            for command in self.commands(model)
        ]


Reader = Callable[[bytes, Mapping[str, str]], Ask]
"""Reads the body and the headers of a request, their names in any case; raises InvalidRequest."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """An API that clients use.

    Args:
        name: of its group of routes.
        routes: those that are answered by engines have the handler `answers(read)` of
            `app.api.answering.driver`.
        error_body: the body of its errors outside of streams, including those of access control and
            the transport on its paths.
        prefix: paths below it are the dialect's too, also those without a route; empty for none.
        statuses: HTTP statuses of errors that differ from the service's, by error code.
    """

    name: str
    routes: tuple[Route, ...]
    error_body: ErrorShape = error_body
    prefix: str = ""
    statuses: Mapping[str, int] = field(default_factory=dict)
