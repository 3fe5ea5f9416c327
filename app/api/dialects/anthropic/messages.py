"""Owns the handlers of `/v1/messages` and `/v1/messages/count_tokens`."""

from __future__ import annotations

import secrets

from sanic import HTTPResponse, Request

from app.api.answering.driver import answers
from app.api.answering.served import serving_for
from app.api.chat.commands import renamed, to_count
from app.api.dialects.anthropic.reader import ask_of, mapped_in
from app.api.dialects.anthropic.schemas import MessagesRequest
from app.api.dialects.anthropic.signatures import Signer
from app.api.dialects.anthropic.threads import Thread, thread_of
from app.api.engine_errors import raise_if_failed
from app.api.service import service_of
from app.errors import InvalidRequest
from app.protocol import TokenCount
from app.web.access_control import owner_of
from app.web.json_body import json_response, parse

_PURPOSE = "anthropic reasoning"


async def create_message(request: Request) -> HTTPResponse | None:
    """Answer a conversation."""
    body, thread = await _read(request)
    ask, mapped = ask_of(body, _signer(request), str(request.ctx.request_id), thread)
    try:
        return await answers(lambda _body, _headers: ask)(request)
    except InvalidRequest as error:  # of the engine, which knows the chat request's names
        raise renamed(error, mapped.names.of) from None


async def count_tokens(request: Request) -> HTTPResponse:
    """Count the tokens of the prompt that a request would have; bypasses the queue."""
    body, thread = await _read(request)
    mapped = mapped_in(thread, body, _signer(request))
    command = to_count(mapped.chat, secrets.token_hex(8))
    serving, _ = await serving_for(request, body.model)
    answer = await serving.engine.ask(command, command.request_id)
    try:
        raise_if_failed(answer)
    except InvalidRequest as error:
        raise renamed(error, mapped.names.of) from None
    if not isinstance(answer, TokenCount):
        raise RuntimeError(f"an engine answered CountTokens with {type(answer).__name__}")
    return json_response({"input_tokens": answer.n_tokens})


async def _read(request: Request) -> tuple[MessagesRequest, Thread | None]:
    body = parse(request.body, MessagesRequest)
    store = service_of(request).answer_store
    return body, await thread_of(request.body, body, store, owner_of(request))


def _signer(request: Request) -> Signer:
    return Signer(service_of(request).secret_key.of(_PURPOSE))
