"""Owns responses that run without a client, and what becomes of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from sanic import HTTPResponse, Request

from app.answer_store.store import AnswerStore
from app.api.answering.driver import answer_ask
from app.api.dialects.responses.reader import Reading, ask_of
from app.api.dialects.responses.stored.records import to_stored, with_ids
from app.api.dialects.responses.stored.writer import StoringWriter
from app.api.service import Service, service_of
from app.api.streaming.detached import MAX_ANSWERS, DetachedAnswer, DetachedAnswers, Key
from app.api.streaming.output import OutputOf
from app.base.json_types import JsonObject
from app.errors import InvalidRequest, TooManyAnswers
from app.web import access_log
from app.web.access_control import owner_of
from app.web.json_body import json_response


class BackgroundResponse:
    """One response that runs without its client.

    Args:
        request: the one that asked for it.
        reading: the same, read.
        history: items of earlier responses.
    """

    def __init__(self, request: Request, reading: Reading, history: list[JsonObject]) -> None:
        self._request = request
        self._store = service_of(request).answer_store
        self._owner = owner_of(request)
        self._items = with_ids(reading.items)
        self._ask = ask_of(
            reading,
            history=history,
            is_stored=True,
            writer_of=partial(
                _background_writer, keep=self._keep, is_streamed=True, outlives_failure=True
            ),
            is_streamed=True,
        )
        self._answer: DetachedAnswer | None = None

    async def respond(self, *, streams: bool) -> HTTPResponse | None:
        """Begin it and return the response object as it is, or send its stream.

        Raises:
            TooManyAnswers: too many run already.
            DistillerError: it failed before it began.
        """
        background = service_of(self._request).background
        key = (self._owner, self._ask.reply_id)
        answer = self._answer = background.begin(key, self._request, self._produce)
        if answer is None:
            raise TooManyAnswers(MAX_ANSWERS)
        await answer.begun()
        if self._response["status"] == "in_progress":
            await self._keep(self._response, b"")
        if streams:
            await background.send(key, answer, self._request, 0)
            return None
        access_log.begin_stream(self._request)  # the log line is written at the end of the answer
        return json_response(self._response)

    async def _produce(self, output_of: OutputOf) -> None:
        await answer_ask(self._request, self._ask, output_of)
        writer = self._answer.writer if self._answer else None
        if isinstance(writer, StoringWriter) and writer.response["status"] == "failed":
            await self._keep(writer.response, writer.events)

    @property
    def _response(self) -> JsonObject:
        writer = self._answer.writer if self._answer else None
        if not isinstance(writer, StoringWriter):
            raise TypeError("a response that has begun has a writer")
        return writer.response

    async def _keep(self, response: JsonObject, events: bytes) -> bool:
        return await self._store.put(self._owner, to_stored(response, self._items, events))


def _background_writer(response: JsonObject, *arguments: Any, **options: Any) -> StoringWriter:
    return StoringWriter({**response, "background": True}, *arguments, **options)


@dataclass(frozen=True, slots=True)
class Running:
    """A response that still runs: in the background, or for a client that may come back.

    Args:
        among: where it is.
        key: its key there.
    """

    among: DetachedAnswers
    key: Key
    answer: DetachedAnswer
    writer: StoringWriter


def running(service: Service, owner: str, response_id: str) -> Running | None:
    """Return a response of an API key that still runs, or None."""
    for among in (service.background, service.detached):
        for key, answer in among.running_of(owner):
            writer = answer.writer
            if isinstance(writer, StoringWriter) and writer.response["id"] == response_id:
                return Running(among, key, answer, writer)
    return None


async def cancel(service: Service, key: Key, items: list[JsonObject]) -> JsonObject | None:
    """Cancel a response that runs and return it; None if there is none.

    Args:
        items: those of its input, with ids.
    """
    found = running(service, *key)
    if found is None or found.among is not service.background:
        return None
    writer = found.writer
    service.background.end(key)
    await found.answer.ended()
    if writer.response["status"] == "in_progress":
        await service.answer_store.put(key[0], to_stored(writer.cancelled(), items))
    return writer.response


def refuse_without_store(reading: Reading, store: AnswerStore) -> None:
    """Refuse a background response where none can be asked for later.

    Raises:
        InvalidRequest: the store is off, or the client does not want it used.
    """
    if reading.body.store is False or not store.is_enabled:
        raise InvalidRequest(
            "background: needs store to be true, and the setting responses_max_mb above 0",
            param="background",
        )
