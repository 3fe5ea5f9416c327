"""Owns `/tokenize` and `/detokenize`; the names are llama-server's."""

from __future__ import annotations

import secrets
from typing import Any

from sanic import Blueprint, HTTPResponse, Request

from app.api.bodies import json_response, parse
from app.api.errors import raise_if_failed
from app.api.schemas.service import DetokenizeRequest, TokenizeRequest
from app.api.service import service_of
from app.protocol import Detokenize, Text, TokenIds, Tokenize

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
