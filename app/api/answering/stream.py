"""Owns streaming one answer: what is written when, pings, errors and disconnects."""

from __future__ import annotations

import asyncio
from functools import partial

from sanic import Request

from app.api.answering.answer_log import note_answer
from app.api.answering.arrivals import Arrival, Arrivals
from app.api.dialect import Writer
from app.api.engine_errors import raise_if_failed
from app.api.outcome import Outcome
from app.api.streaming.output import OutputOf, to_client
from app.errors import DistillerError
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
        output_of: returns where the bytes go; the client's connection by default.
    """

    def __init__(
        self,
        request: Request,
        writer: Writer,
        outcome: Outcome,
        output_of: OutputOf = to_client,
    ) -> None:
        self._request = request
        self._writer = writer
        self._outcome = outcome
        self._status = 200
        self._has_begun = False
        self._output = output_of(request, writer)

    async def send(self, arrived: Arrivals) -> None:
        """Send the whole stream and write the request's log line."""
        try:
            await self._send_all(arrived)
        finally:
            self._output.close()

    async def _send_all(self, arrived: Arrivals) -> None:
        try:
            await self._send_events(arrived)
        except asyncio.CancelledError as error:
            if self._status == 200:
                self._note(error)
            access_log.write(self._request, self._status)
            raise
        access_log.write(self._request, self._status)
        await self._output.end()

    async def _send_events(self, arrived: Arrivals) -> None:
        output = self._output
        try:
            async for batch in arrived:
                data = self._encoded(batch) if batch else self._writer.ping()
                if batch and self._outcome.is_complete:
                    data += await self._end()
                if data:
                    await output.write(data)
        except Exception as error:
            if not output.has_begun:
                raise
            self._note(error)
            if not isinstance(error, DistillerError):
                log.error("unhandled_error", exc_info=error)
            await output.write(self._writer.error(error))

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
        return b"".join(parts)

    def _begin(self) -> list[bytes]:
        """Return the beginning of the stream; only the first of several prompts has one."""
        if self._has_begun:
            return []
        self._has_begun = True
        return [self._writer.begin()]

    async def _end(self) -> bytes:
        outcome = self._outcome
        await self._writer.settle(outcome)
        note_answer(self._request, outcome.usage, outcome.timings, outcome.finish_reason)
        return self._writer.end(outcome)
