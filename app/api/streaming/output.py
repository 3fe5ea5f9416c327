"""Owns where the bytes of a streamed answer go: the interface, and the connection of a client."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from sanic import HTTPResponse, Request

from app.api.dialect import Writer
from app.host.process.idle_timer import IdleTimer
from app.web import access_log


class Output(Protocol):
    """Where the bytes of one streamed answer go."""

    @property
    def has_begun(self) -> bool:
        """Whether anything was written: an error after that is an event of the stream."""

    async def write(self, data: bytes) -> None:
        """Write some bytes, which are not empty."""

    async def end(self) -> None:
        """End the answer; nothing is written after this."""

    def close(self) -> None:
        """Stop watching; called at last, also after errors."""


OutputOf = Callable[[Request, Writer], Output]
"""Returns the output of a writer's bytes."""


class ClientOutput:
    """The connection of a client; the headers are sent with the first bytes.

    A client that reads nothing for `request_timeout_s` is disconnected, which cancels the handler.
    """

    def __init__(self, request: Request, content_type: str, headers: Mapping[str, str]) -> None:
        self._request = request
        self._content_type = content_type
        self._headers = headers
        self._response: HTTPResponse | None = None
        self._is_sending = False
        self._write_timer = IdleTimer(request.app.config.REQUEST_TIMEOUT, self._abort_if_stalled)

    @property
    def has_begun(self) -> bool:
        """Whether the headers were sent."""
        return self._response is not None

    async def begin(self) -> HTTPResponse:
        """Send the headers, once; the request's log line is left to the handler from then on."""
        if self._response is None:
            access_log.begin_stream(self._request)
            self._response = await self._request.respond(
                content_type=self._content_type, headers=dict(self._headers)
            )
        return self._response

    async def write(self, data: bytes) -> None:
        """Send some bytes."""
        await self._push(self._response or await self.begin(), data)

    async def end(self) -> None:
        """Send the end of the response, if it has begun."""
        if self._response is not None:
            await self._push(self._response, b"", end_stream=True)

    def close(self) -> None:
        """Stop the timer."""
        self._write_timer.close()

    async def _push(
        self, response: HTTPResponse, data: bytes, *, end_stream: bool | None = None
    ) -> None:
        self._write_timer.reset()
        self._is_sending = True
        await response.send(data, end_stream)
        self._is_sending = False

    def _abort_if_stalled(self) -> None:
        if self._is_sending:
            self.abort()

    def abort(self) -> None:
        """Abort the connection, which cancels the handler."""
        transport: Any = self._request.transport
        if transport is not None:
            transport.abort()


def to_client(request: Request, writer: Writer) -> ClientOutput:
    """Return the output to the client of a request."""
    return ClientOutput(request, writer.stream_content_type, writer.stream_headers)
