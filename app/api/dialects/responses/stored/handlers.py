"""Owns the handlers of stored responses: making them, and all that refers to them by id."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from sanic import HTTPResponse, Request

from app.answer_store.records import StoredAnswer
from app.api.answering.driver import answers
from app.api.chat.commands import renamed
from app.api.dialects.responses.reader import Reading, ask_of, param_of, reading_of, refuse_unknown
from app.api.dialects.responses.stored.background import (
    BackgroundResponse,
    cancel,
    refuse_without_store,
    running,
)
from app.api.dialects.responses.stored.history import resolved
from app.api.dialects.responses.stored.pages import page_of
from app.api.dialects.responses.stored.records import (
    items_of,
    response_of,
    settled,
    to_stored,
    with_ids,
)
from app.api.dialects.responses.stored.replay import events_of, place_after
from app.api.dialects.responses.stored.writer import StoringWriter
from app.api.service import service_of
from app.api.streaming.output import ClientOutput
from app.base.json_types import JsonObject
from app.errors import AnswerNotFound, CallerError, InvalidRequest
from app.web import access_log, framing
from app.web.access_control import owner_of
from app.web.errors import note_error, status_of
from app.web.json_body import json_response

_MAX_DIGITS = 12
_PIECE_BYTES = 64 * 1024


async def respond(request: Request) -> HTTPResponse | None:
    """Answer a request, whole, streamed or in the background."""
    store = service_of(request).answer_store
    reading = reading_of(request.body)
    refuse_unknown(reading.body)
    reading, history = await resolved(reading, store, owner_of(request))
    try:
        if reading.body.background:
            refuse_without_store(reading, store)
            made = BackgroundResponse(request, reading, history)
            return await made.respond(streams=bool(reading.body.stream))
        return await _respond_now(request, reading, history)
    except CallerError as error:  # of the engine, which knows the chat request's names
        raise renamed(error, lambda param: param_of(param, reading.toolbox)) from None


async def _respond_now(
    request: Request, reading: Reading, history: list[JsonObject]
) -> HTTPResponse | None:
    store, owner = service_of(request).answer_store, owner_of(request)
    is_stored = reading.body.store is not False and store.is_enabled
    if not is_stored:
        ask = ask_of(reading, history=history)
        return await answers(lambda _body, _headers: ask)(request)
    items = with_ids(reading.items)

    async def keep(response: JsonObject, events: bytes) -> bool:
        return await store.put(owner, to_stored(response, items, events))

    writer_of = partial(StoringWriter, keep=keep, is_streamed=bool(reading.body.stream))
    stored_ask = ask_of(reading, history=history, is_stored=True, writer_of=writer_of)
    return await answers(lambda _body, _headers: stored_ask)(request)


async def retrieve(request: Request, response_id: str) -> HTTPResponse | None:
    """Return a response, or send its stream again, live if it still runs."""
    streams = (request.args.get("stream") or "").lower() == "true"
    after = _starting_after(request)
    service, key = service_of(request), (owner_of(request), response_id)
    found = running(service, *key)
    if found is not None:
        if not streams:
            return json_response(found.writer.response)
        start, held = found.answer.buffer.start, found.answer.buffer.held
        offset = start + place_after(held, after, is_whole=start == 0)
        await _logged(request, found.among.send(found.key, found.answer, request, offset))
        return None
    stored = await _stored(request, response_id)
    if not streams:
        return HTTPResponse(stored.answer, content_type="application/json")
    events = await service.answer_store.events(*key) or events_of(response_of(stored))
    await _logged(request, _send(request, events[place_after(events, after) :]))
    return None


async def _send(request: Request, data: bytes) -> None:
    output = ClientOutput(request, framing.CONTENT_TYPE, framing.HEADERS)
    try:
        for start in range(0, len(data), _PIECE_BYTES):  # the timeout is that of one write
            await output.write(data[start : start + _PIECE_BYTES])
        await output.begin()
        await output.end()
    finally:
        output.close()


async def _logged(request: Request, sending: Any) -> None:
    """Send a stream and write the request's log line at its end."""
    access_log.note(request, stream=True)
    try:
        await sending
    except asyncio.CancelledError as error:
        note_error(request, error)
        access_log.write(request, status_of(error))
        raise
    access_log.write(request, 200)


async def delete(request: Request, response_id: str) -> HTTPResponse:
    """Delete a response; one that runs is cancelled."""
    service, key = service_of(request), (owner_of(request), response_id)
    runs = service.background.find(key)
    service.background.end(key)
    if runs is not None:
        await runs.ended()
    if not await service.answer_store.delete(*key) and runs is None:
        raise _not_found(response_id)
    return json_response({"id": response_id, "object": "response", "deleted": True})


async def cancel_response(request: Request, response_id: str) -> HTTPResponse:
    """Cancel a background response; one that has ended stays as it is."""
    service, key = service_of(request), (owner_of(request), response_id)
    stored = await service.answer_store.get(*key)
    items = items_of(stored) if stored else []
    cancelled = await cancel(service, key, items)
    if cancelled is not None:
        return json_response(cancelled)
    response = response_of(await _stored(request, response_id))
    if not response.get("background"):
        raise InvalidRequest(
            "Only a response that was created with background=true can be cancelled",
            param="response_id",
        )
    return json_response(response)


async def list_input_items(request: Request, response_id: str) -> HTTPResponse:
    """Return the items of a response's input, page by page."""
    stored = await _stored(request, response_id)
    names = ("limit", "order", "after", "before")
    query = {name: request.args.get(name) for name in names}
    return json_response(page_of(items_of(stored), query))


async def _stored(request: Request, response_id: str) -> StoredAnswer:
    store = service_of(request).answer_store
    stored = await store.get(owner_of(request), response_id)
    if stored is None:
        raise _not_found(response_id)
    return settled(stored)


def _not_found(response_id: str) -> AnswerNotFound:
    return AnswerNotFound(f"There is no stored response '{response_id}'", param="response_id")


def _starting_after(request: Request) -> int:
    text = request.args.get("starting_after")
    if not text:
        return -1
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS):
        raise InvalidRequest(
            "starting_after: must be the sequence_number of an event", param="starting_after"
        )
    return int(text)
