"""Owns `/responses/input_tokens`: how many tokens the prompt of a request would have."""

from __future__ import annotations

import secrets

from sanic import HTTPResponse, Request

from app.api.chat.commands import to_count
from app.api.dialects.responses.reader import chat_for, reading_of, refuse_stored
from app.api.engine_errors import raise_if_failed
from app.api.service import service_of
from app.protocol import TokenCount
from app.web.json_body import json_response


async def input_tokens(request: Request) -> HTTPResponse:
    """Return the number of tokens of the prompt of a request with this body."""
    reading = reading_of(request.body)
    refuse_stored(reading.body)
    command = to_count(chat_for(reading), secrets.token_hex(8))
    serving = await service_of(request).supervisor.use(reading.body.model, {})
    answer = await serving.engine.ask(command, command.request_id)
    raise_if_failed(answer)
    if not isinstance(answer, TokenCount):
        raise RuntimeError(f"an engine answered CountTokens with {type(answer).__name__}")
    return json_response({"object": "response.input_tokens", "input_tokens": answer.n_tokens})
