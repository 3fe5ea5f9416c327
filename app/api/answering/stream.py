"""Owns streaming one answer: headers, writes, pings, errors and disconnects."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from sanic import HTTPResponse, Request

from app.api.answering.answer_log import note_answer
from app.api.answering.arrivals import Arrival, Arrivals
from app.api.dialect import Writer
from app.api.engine_errors import raise_if_failed
from app.api.outcome import Outcome
from app.errors import DistillerError
from app.host.process.idle_timer import IdleTimer
from app.logs import get_logger
from app.protocol import Accepted
from app.web import access_log
from app.web.errors import note_error, status_of

log = get_logger("api")


class Stream:
    """One streamed answer.

    Headers are sent with the first bytes, or with the first ping, so that an earlier error has its
    own HTTP status. Later errors are events of the dialect.

    Args:
        writer: encodes events for the dialect.
        outcome: collects the ends of all answers.
    """

    def __init__(self, request: Request, writer: Writer, outcome: Outcome) -> None:
        self._request = request
        self._writer = writer
        self._outcome = outcome
        self._response: HTTPResponse | None = None
        self._status = 200
        self._is_sending = False
        self._has_begun = False
        self._write_timer = IdleTimer(request.app.config.REQUEST_TIMEOUT, self._abort_if_stalled)

    async def send(self, arrived: Arrivals) -> None:
        """Send the whole stream and write the request's log line."""
        try:
            await self._send_all(arrived)
        finally:
            self._write_timer.close()

    async def _send_all(self, arrived: Arrivals) -> None:
        try:
            await self._send_events(arrived)
        except asyncio.CancelledError as error:
            if self._status == 200:
                self._note(error)
            access_log.write(self._request, self._status)
            raise
        access_log.write(self._request, self._status)
        if self._response is not None:
            await self._push(self._response, b"", end_stream=True)

    async def _send_events(self, arrived: Arrivals) -> None:
        try:
            async for batch in arrived:
                data = self._encoded(batch) if batch else self._writer.ping()
                if data:
                    await self._write(data)
        except Exception as error:
            if self._response is None:
                raise
            self._note(error)
            if not isinstance(error, DistillerError):
                log.error("unhandled_error", exc_info=error)
            await self._write(self._writer.error(error))

    def _note(self, error: BaseException) -> None:
        self._status = status_of(error)
        note_error(self._request, error)

    def _encoded(self, batch: list[Arrival]) -> bytes:
        """Return the bytes of all that arrived batch, so that they leave in one write."""
        parts: list[bytes] = []
        for prompt_no, events in batch:
            raise_if_failed(events[-1])
            if type(events[0]) is Accepted:
                parts += self._begin()
                events = events[1:]
            parts += map(partial(self._writer.feed, prompt_no), events)
            self._outcome.note(prompt_no, events)
        if self._outcome.is_complete:
            parts.append(self._end())
        return b"".join(parts)

    def _begin(self) -> list[bytes]:
        """Return the beginning of the stream; only the first of several prompts has one."""
        if self._has_begun:
            return []
        self._has_begun = True
        return [self._writer.begin()]

    def _end(self) -> bytes:
        outcome = self._outcome
        note_answer(self._request, outcome.usage, outcome.timings, outcome.finish_reason)
        return self._writer.end(outcome)

    async def _write(self, data: bytes) -> None:
        if self._response is None:
            access_log.begin_stream(self._request)
            self._response = await self._request.respond(
                content_type=self._writer.stream_content_type,
                headers=dict(self._writer.stream_headers),
            )
        await self._push(self._response, data)

    async def _push(
        self, response: HTTPResponse, data: bytes, *, end_stream: bool | None = None
    ) -> None:
        self._write_timer.reset()
        self._is_sending = True
        await response.send(data, end_stream)
        self._is_sending = False

    def _abort_if_stalled(self) -> None:
        """Abort the connection of a client that stopped reading, which cancels this stream."""
        transport: Any = self._request.transport
        if self._is_sending and transport is not None:
            transport.abort()
