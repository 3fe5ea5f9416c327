"""Owns `/chat/completions`: from a validated body to an answer, whole or streamed."""

from __future__ import annotations

import asyncio
import dataclasses
import secrets
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import msgspec
from sanic import Blueprint, HTTPResponse, Request

from app.api.dialects.chat_completions.reader import to_generate
from app.api.dialects.chat_completions.schemas import ChatRequest
from app.api.dialects.chat_completions.writer import Reply
from app.api.service import Service, service_of
from app.errors import DistillerError
from app.host.process.idle_timer import IdleTimer
from app.host.requests.resumable_request import ResumableRequest
from app.host.serving import Serving
from app.logs import get_logger
from app.protocol import (
    Delta,
    Finished,
    Generate,
    PromptProgress,
    RequestEvent,
    Started,
    TokenLogprobs,
)
from app.web import access_log, framing
from app.web.errors import (
    STATUS_CLIENT_GONE,
    body_of,
    note_error,
    raise_if_failed,
    status_of,
)
from app.web.json_body import json_response, parse

log = get_logger("chat")
blueprint = Blueprint("chat")
EventBatches = AsyncIterator[list[RequestEvent]]


@blueprint.post("/chat/completions", name="chat_completions")
@blueprint.post("/v1/chat/completions", name="v1_chat_completions")
async def chat_completions(request: Request) -> HTTPResponse | None:
    """Answer a conversation."""
    service = service_of(request)
    body = parse(request, ChatRequest)
    overrides = body.load_model_configs.overrides() if body.load_model_configs else {}
    serving = await service.supervisor.use(body.model, overrides)
    access_log.note(request, model=serving.name, stream=bool(body.stream))
    reply_id = f"chatcmpl-{secrets.token_hex(12)}"
    access_log.note(request, reply_id=reply_id)
    command = _command(service, serving, body, reply_id)
    reply = Reply(
        reply_id,
        serving.name,
        serving.info.fingerprint,
        command.n,
        explains_cache=command.explain_cache,
    )
    idle_s = service.sse_ping_s if body.stream else None
    request_events = ResumableRequest(service.supervisor, serving, command, idle_s).events()
    async with aclosing(request_events) as batches:
        if not body.stream:
            return await _whole(request, batches, reply)
        options = body.stream_options
        stream = _Stream(request, reply, bool(options and options.include_usage))
        await stream.send(batches)
    return None


def _command(service: Service, serving: Serving, body: ChatRequest, reply_id: str) -> Generate:
    defaults = service.defaults
    # `load_model_configs.seed` of the load that serves wins over the setting, a request over both.
    if (seed := serving.plan.params.seed) is not None:
        sampling = msgspec.structs.replace(defaults.sampling, seed=seed)
        defaults = dataclasses.replace(defaults, sampling=sampling)
    info = serving.info
    return to_generate(body, reply_id, defaults=defaults, n_ctx=info.n_ctx, n_vocab=info.n_vocab)


async def _whole(request: Request, batches: EventBatches, reply: Reply) -> HTTPResponse:
    async for batch in batches:
        for event in batch:
            raise_if_failed(event)
            match event:
                case Finished():
                    reply.finish(event)
                case Started():
                    reply.start(event)
                case PromptProgress():
                    pass
                case TokenLogprobs():
                    reply.hold(event)
                case _:
                    reply.collect(_as_delta(event))
    access_log.note_answer(request, reply.usage(), reply.timings(), reply.finish_reason)
    return json_response(reply.whole())


class _Stream:
    """One streamed answer.

    Headers leave with the first event, so that an error before it has its own HTTP status;
    where that takes long they leave with the first ping. Later errors are events.
    """

    def __init__(self, request: Request, reply: Reply, include_usage: bool) -> None:
        self._request = request
        self._reply = reply
        self._include_usage = include_usage
        self._response: HTTPResponse | None = None
        self._is_sending = False
        self._patience = IdleTimer(request.app.config.REQUEST_TIMEOUT, self._hang_up_if_stalled)

    async def send(self, batches: EventBatches) -> None:
        """Send the whole stream and write the request's log line."""
        try:
            await self._send_all(batches)
        finally:
            self._patience.close()

    async def _send_all(self, batches: EventBatches) -> None:
        status = 200
        try:
            await self._send_events(batches)
        except asyncio.CancelledError:
            access_log.write(self._request, STATUS_CLIENT_GONE)
            raise
        except Exception as error:
            if self._response is None:
                raise
            status = status_of(error)
            note_error(self._request, error)
            if not isinstance(error, DistillerError):
                log.error("unhandled_error", exc_info=error)
            await self._write(framing.frame(msgspec.json.encode(body_of(error))) + framing.DONE)
        access_log.write(self._request, status)
        if self._response is not None:
            await self._push(self._response, b"", end_stream=True)

    async def _send_events(self, batches: EventBatches) -> None:
        async for batch in batches:
            if batch:
                await self._write(b"".join(map(self._encode, batch)))
            else:
                await self._write(framing.PING)

    def _encode(self, event: RequestEvent) -> bytes:
        raise_if_failed(event)
        reply = self._reply
        match event:
            case Started():
                reply.start(event)
                return b"".join(map(framing.frame, reply.first_chunks()))
            case PromptProgress():
                return framing.frame(reply.progress_chunk(event))
            case TokenLogprobs():
                reply.hold(event)
                return b""
            case Finished():
                reply.finish(event)
                last = framing.frame(reply.last_chunk(event))
                return last + self._ending() if reply.is_complete else last
            case _:
                return framing.frame(reply.chunk(_as_delta(event)))

    def _ending(self) -> bytes:
        reply = self._reply
        access_log.note_answer(self._request, reply.usage(), reply.timings(), reply.finish_reason)
        usage = framing.frame(reply.usage_chunk()) if self._include_usage else b""
        return usage + framing.DONE

    async def _write(self, data: bytes) -> None:
        if self._response is None:
            access_log.begin_stream(self._request)
            self._response = await self._request.respond(
                content_type=framing.CONTENT_TYPE, headers=framing.HEADERS
            )
        await self._push(self._response, data)

    async def _push(
        self, response: HTTPResponse, data: bytes, *, end_stream: bool | None = None
    ) -> None:
        self._patience.reset()
        self._is_sending = True
        await response.send(data, end_stream)
        self._is_sending = False

    def _hang_up_if_stalled(self) -> None:
        """Drop a client that keeps its connection but reads no longer; that cancels this stream."""
        transport: Any = self._request.transport
        if self._is_sending and transport is not None:
            transport.abort()


def _as_delta(event: RequestEvent) -> Delta:
    if isinstance(event, Delta):
        return event
    raise AssertionError(f"{type(event).__name__} is no answer to a chat request")
