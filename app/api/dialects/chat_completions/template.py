"""Owns what tells a chat request's prompt, or its length; the names are llama-server's."""

from __future__ import annotations

import secrets

from sanic import HTTPResponse, Request

from app.api.chat.commands import Chat, to_count, to_render
from app.api.engine_errors import raise_if_failed
from app.api.schemas.chat import ChatRequest
from app.api.service import service_of
from app.protocol import Text, TokenCount
from app.web.json_body import json_response, parse


async def apply_template(request: Request) -> HTTPResponse:
    """Return the prompt that a chat request with this body would have."""
    body = parse(request.body, ChatRequest)
    overrides = body.load_model_configs.overrides() if body.load_model_configs else {}
    command = to_render(request.body, body, secrets.token_hex(8))
    serving = await service_of(request).supervisor.use(body.model, overrides)
    answer = await serving.engine.ask(command, command.request_id)
    raise_if_failed(answer)
    if not isinstance(answer, Text):
        raise RuntimeError(f"an engine answered Render with {type(answer).__name__}")
    return json_response({"prompt": answer.text})


async def input_tokens(request: Request) -> HTTPResponse:
    """Return how many tokens the prompt of a chat request with this body would have."""
    chat = Chat(request.body, parse(request.body, ChatRequest))
    overrides = chat.body.load_model_configs.overrides() if chat.body.load_model_configs else {}
    command = to_count(chat, secrets.token_hex(8))
    serving = await service_of(request).supervisor.use(chat.body.model, overrides)
    answer = await serving.engine.ask(command, command.request_id)
    raise_if_failed(answer)
    if not isinstance(answer, TokenCount):
        raise RuntimeError(f"an engine answered CountTokens with {type(answer).__name__}")
    return json_response({"input_tokens": answer.n_tokens, "object": "response.input_tokens"})
