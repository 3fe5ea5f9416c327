"""Owns `/tokenize`, `/detokenize` and `/apply-template`; the names are llama-server's."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from sanic import Blueprint, HTTPResponse, Request

from app.api.dialects.chat_completions.reader import to_render
from app.api.dialects.chat_completions.schemas import ChatRequest
from app.api.schemas.service import DetokenizeRequest, TokenizeRequest
from app.api.service import service_of
from app.protocol import Detokenize, Render, Text, TokenIds, Tokenize
from app.web.errors import raise_if_failed
from app.web.json_body import json_response, parse

blueprint = Blueprint("tokens")


@blueprint.post("/tokenize", name="tokenize")
@blueprint.post("/v1/tokenize", name="v1_tokenize")
async def tokenize(request: Request) -> HTTPResponse:
    """Turn text into token ids."""
    body = parse(request, TokenizeRequest)
    command = Tokenize(
        request_id=secrets.token_hex(8),
        text=body.content,
        add_special=body.add_special,
        parse_special=body.parse_special,
        with_pieces=body.with_pieces,
    )
    answer: TokenIds = await _ask(request, command)
    if answer.pieces is None:
        return json_response({"tokens": answer.tokens})
    pairs = zip(answer.tokens, answer.pieces, strict=True)
    return json_response(
        {"tokens": [{"id": token, "piece": _piece(piece)} for token, piece in pairs]}
    )


@blueprint.post("/detokenize", name="detokenize")
@blueprint.post("/v1/detokenize", name="v1_detokenize")
async def detokenize(request: Request) -> HTTPResponse:
    """Turn token ids into text."""
    body = parse(request, DetokenizeRequest)
    command = Detokenize(request_id=secrets.token_hex(8), tokens=body.tokens)
    answer: Text = await _ask(request, command)
    return json_response({"content": answer.text})


@blueprint.post("/apply-template", name="apply_template")
@blueprint.post("/v1/apply-template", name="v1_apply_template")
async def apply_template(request: Request) -> HTTPResponse:
    """Return the prompt that a chat request with this body would have."""
    body = parse(request, ChatRequest)
    overrides = body.load_model_configs.overrides() if body.load_model_configs else {}
    command = to_render(body, secrets.token_hex(8))
    answer: Text = await _ask(request, command, body.model, overrides)
    return json_response({"prompt": answer.text})


async def _ask(
    request: Request,
    command: Tokenize | Detokenize | Render,
    model: str | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Any:
    serving = await service_of(request).supervisor.use(model, overrides or {})
    answer = await serving.engine.ask(command, command.request_id)
    raise_if_failed(answer)
    return answer


def _piece(piece: bytes) -> str | list[int]:
    """Return a piece as text, or as byte values where it is only part of a character."""
    try:
        return piece.decode("utf-8")
    except UnicodeDecodeError:
        return list(piece)
