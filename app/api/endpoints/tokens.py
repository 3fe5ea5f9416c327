"""Owns `/tokenize` and `/detokenize`; the names are llama-server's."""

from __future__ import annotations

import secrets
from typing import Any

from sanic import HTTPResponse, Request

from app.api.engine_errors import raise_if_failed
from app.api.route import Route
from app.api.schemas.service import (
    DetokenizeRequest,
    DetokenizeResponse,
    TokenizeRequest,
    TokenizeResponse,
)
from app.api.service import service_of
from app.protocol import Detokenize, Text, TokenIds, Tokenize
from app.web.json_body import json_response, parse


async def tokenize(request: Request) -> HTTPResponse:
    """Turn text into token ids."""
    body = parse(request.body, TokenizeRequest)
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


async def detokenize(request: Request) -> HTTPResponse:
    """Turn token ids into text."""
    body = parse(request.body, DetokenizeRequest)
    command = Detokenize(request_id=secrets.token_hex(8), tokens=body.tokens)
    answer: Text = await _ask(request, command)
    return json_response({"content": answer.text})


async def _ask(request: Request, command: Tokenize | Detokenize) -> Any:
    serving = await service_of(request).supervisor.use(None, {})
    answer = await serving.engine.ask(command, command.request_id)
    raise_if_failed(answer)
    return answer


def _piece(piece: bytes) -> str | list[int]:
    """Return a piece as text, or as byte values where it is only part of a character."""
    try:
        return piece.decode("utf-8")
    except UnicodeDecodeError:
        return list(piece)


ROUTES = (
    Route(
        method="post",
        path="/tokenize",
        aliases=("/v1/tokenize",),
        handler=tokenize,
        summary="Turn text into token ids",
        response=TokenizeResponse,
        request=TokenizeRequest,
    ),
    Route(
        method="post",
        path="/detokenize",
        aliases=("/v1/detokenize",),
        handler=detokenize,
        summary="Turn token ids into text",
        response=DetokenizeResponse,
        request=DetokenizeRequest,
    ),
)
