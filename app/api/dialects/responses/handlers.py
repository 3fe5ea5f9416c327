"""Owns counting the tokens of a request of the Responses dialect."""

from __future__ import annotations

import secrets

from sanic import HTTPResponse, Request

from app.api.chat.commands import renamed, to_count
from app.api.dialects.responses.reader import (
    chat_for,
    param_of,
    reading_of,
    refuse_unknown,
)
from app.api.dialects.responses.stored.history import resolved
from app.api.engine_errors import raise_if_failed
from app.api.service import service_of
from app.errors import CallerError
from app.protocol import TokenCount
from app.web.access_control import owner_of
from app.web.json_body import json_response


async def input_tokens(request: Request) -> HTTPResponse:
    """Return the number of tokens of the prompt of a request with this body."""
    reading = reading_of(request.body)
    refuse_unknown(reading.body)
    service = service_of(request)
    reading, history = await resolved(reading, service.answer_store, owner_of(request))
    command = to_count(chat_for(reading, history), secrets.token_hex(8))
    serving = await service.supervisor.use(reading.body.model, {})
    answer = await serving.engine.ask(command, command.request_id)
    try:
        raise_if_failed(answer)
    except CallerError as error:
        raise renamed(error, lambda param: param_of(param, reading.toolbox)) from None
    if not isinstance(answer, TokenCount):
        raise RuntimeError(f"an engine answered CountTokens with {type(answer).__name__}")
    return json_response({"object": "response.input_tokens", "input_tokens": answer.n_tokens})
