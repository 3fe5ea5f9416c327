"""Owns `/api/tokenize` and `/api/detokenize`, as proposed for Ollama."""

from __future__ import annotations

import secrets
from typing import Any

from sanic import HTTPResponse, Request

from app.api.dialects.ollama.reader import as_asked, read_body
from app.api.dialects.ollama.schemas import (
    OllamaDetokenizeRequest,
    OllamaFields,
    OllamaTokenizeRequest,
)
from app.api.engine_errors import raise_if_failed
from app.api.ollama_names import local_name
from app.api.service import service_of
from app.errors import DistillerError
from app.protocol import Detokenize, Text, TokenIds, Tokenize
from app.web.json_body import json_response


async def tokenize(request: Request) -> HTTPResponse:
    """Turn text into token ids."""
    body = read_body(request.body, OllamaTokenizeRequest)
    command = Tokenize(request_id=secrets.token_hex(8), text=body.content)
    answer: TokenIds = await _ask(request, body, command)
    return json_response({"model": body.model, "tokens": answer.tokens})


async def detokenize(request: Request) -> HTTPResponse:
    """Turn token ids into text."""
    body = read_body(request.body, OllamaDetokenizeRequest)
    command = Detokenize(request_id=secrets.token_hex(8), tokens=body.tokens)
    answer: Text = await _ask(request, body, command)
    return json_response({"model": body.model, "content": answer.text})


async def _ask(request: Request, body: OllamaFields, command: Tokenize | Detokenize) -> Any:
    service = service_of(request)
    try:
        name = local_name(service.catalog, body.model or "")
        serving = await service.supervisor.use(name, {})
        answer = await serving.engine.ask(command, command.request_id)
        raise_if_failed(answer)
    except DistillerError as error:
        raise as_asked(error, body) from error
    service.keep_alive.note(serving.name, body.keep_alive)
    return answer
