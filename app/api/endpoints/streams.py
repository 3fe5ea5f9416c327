"""Owns coming back for a stream: `/v1/stream` and `/v1/streams/lookup`, as of llama-server."""

from __future__ import annotations

import asyncio

from sanic import HTTPResponse, Request

from app.api.route import GUARDED, Route
from app.api.schemas.streams import LookupRequest, LookupResponse, StreamState
from app.api.service import service_of
from app.api.streaming.detached import DetachedAnswer, Key
from app.errors import InvalidRequest
from app.web import access_log
from app.web.access_control import owner_of
from app.web.errors import note_error, status_of
from app.web.json_body import json_response, parse

_MAX_DIGITS = 18
_QUERY = {"conv_id": "The X-Conversation-Id of the request that began the stream."}


async def resume(request: Request) -> HTTPResponse | None:
    """Send a stream from a byte on, and go on with it live."""
    key = _key(request)
    detached = service_of(request).detached
    answer = detached.get(key)
    access_log.note(request, stream=True, from_byte=(offset := _offset(request)))
    try:
        await detached.send(key, answer, request, offset)
    except asyncio.CancelledError as error:
        note_error(request, error)
        access_log.write(request, status_of(error))
        raise
    access_log.write(request, 200)
    return None


async def end(request: Request) -> HTTPResponse:
    """End a stream and forget it; there need be none."""
    service_of(request).detached.end(_key(request))
    return HTTPResponse(status=204)


async def look_up(request: Request) -> HTTPResponse:
    """Return which of the named streams are kept."""
    asked = parse(request.body, LookupRequest)
    detached, owner = service_of(request).detached, owner_of(request)
    found = {name: detached.find((owner, name)) for name in asked.conversation_ids}
    states = [_state(name, answer) for name, answer in found.items() if answer is not None]
    return json_response([state.model_dump() for state in states])


def _state(name: str, answer: DetachedAnswer) -> StreamState:
    return StreamState(
        conversation_id=name,
        is_done=not answer.is_running,
        total_bytes=answer.buffer.end_offset,
        first_byte=answer.buffer.start,
        started_at=int(answer.started_s),
        completed_at=int(answer.ended_s or 0),
    )


def _key(request: Request) -> Key:
    name = request.args.get("conv_id")
    if not name:
        raise InvalidRequest("conv_id: is required", param="conv_id")
    return owner_of(request), str(name)


def _offset(request: Request) -> int:
    text = str(request.args.get("from") or "0")
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS):
        raise InvalidRequest("from: must be a whole number from 0 on", param="from")
    return int(text)


ROUTES = (
    Route(
        method="get",
        path="/v1/stream",
        handler=resume,
        summary="Go on with a stream whose connection was lost",
        query=_QUERY | {"from": "The number of bytes that the client has got; 0 by default."},
        errors=(*GUARDED, 404),
        streams=True,
    ),
    Route(
        method="delete",
        path="/v1/stream",
        handler=end,
        summary="End a stream, and the answer with it",
        is_empty=True,
        query=_QUERY,
    ),
    Route(
        method="post",
        path="/v1/streams/lookup",
        handler=look_up,
        summary="Say which streams are kept",
        request=LookupRequest,
        response=LookupResponse,
    ),
)
