"""Owns `/tokenize` and `/detokenize`; the names are llama-server's."""

from __future__ import annotations

import secrets
from contextlib import aclosing
from typing import Any

from sanic import Blueprint, HTTPResponse, Request

from app.api.bodies import json_response, parse
from app.api.errors import from_wire
from app.api.schemas.service import DetokenizeRequest, TokenizeRequest
from app.api.service import service_of
from app.protocol import Detokenize, Failed, Text, TokenIds, Tokenize

blueprint = Blueprint("tokens")


@blueprint.post("/tokenize", name="tokenize")
@blueprint.post("/v1/tokenize", name="v1_tokenize")
async def tokenize(request: Request) -> HTTPResponse:
    """Turn text into token ids."""
    body = parse(request, TokenizeRequest)
    request_id = secrets.token_hex(8)
    command = Tokenize(
        request_id=request_id,
        text=body.content,
        add_special=body.add_special,
        parse_special=body.parse_special,
        with_pieces=body.with_pieces,
    )
    answer = await _ask(request, command, request_id)
    assert isinstance(answer, TokenIds)
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
    request_id = secrets.token_hex(8)
    command = Detokenize(request_id=request_id, tokens=body.tokens)
    answer = await _ask(request, command, request_id)
    assert isinstance(answer, Text)
    return json_response({"content": answer.text})


async def _ask(request: Request, command: Tokenize | Detokenize, request_id: str) -> Any:
    serving = await service_of(request).supervisor.use(None, {})
    async with aclosing(serving.engine.request(command, request_id)) as batches:
        async for (event,) in batches:
            if isinstance(event, Failed):
                raise from_wire(event.kind, event.message, event.param)
            return event


def _piece(piece: bytes) -> str | list[int]:
    """Return a piece as text, or as byte values where it is only part of a character."""
    try:
        return piece.decode("utf-8")
    except UnicodeDecodeError:
        return list(piece)
