"""Owns the handlers of `/api/chat` and `/api/generate`: answers, loads, how long a model stays."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from sanic import HTTPResponse, Request

from app.api.answering.driver import answers
from app.api.dialect import Ask, ServedModel, Writer
from app.api.dialects.ollama.lines import Part, PartBody, chat_body, generate_body, head_body
from app.api.dialects.ollama.options import read_options
from app.api.dialects.ollama.reader import as_asked, chat_ask, generate_ask, read_body
from app.api.dialects.ollama.schemas import OllamaChatRequest, OllamaFields, OllamaGenerateRequest
from app.api.ollama_names import local_name
from app.api.service import Service, service_of
from app.errors import DistillerError
from app.logs import get_logger
from app.protocol import Generate
from app.web.json_body import json_response

_MAX_LOGGED = 16

log = get_logger("api")


async def chat(request: Request) -> HTTPResponse | None:
    """Answer a conversation; without messages, load the model."""
    body = read_body(request.body, OllamaChatRequest)
    _log_unknown(body)
    if not body.messages:
        return await _load(request, body, chat_body)
    return await _answer(request, body, chat_ask(body))


async def generate(request: Request) -> HTTPResponse | None:
    """Answer a prompt or complete a text; without a prompt, load the model."""
    body = read_body(request.body, OllamaGenerateRequest)
    _log_unknown(body)
    ask = generate_ask(body)
    if not body.prompt and not body.suffix:
        return await _load(request, body, generate_body)
    return await _answer(request, body, ask)


async def _answer(request: Request, body: OllamaFields, ask: Ask) -> HTTPResponse | None:
    service, used = service_of(request), []
    keep_alive = service.keep_alive

    def writer(model: ServedModel, commands: Sequence[Generate]) -> Writer:
        used.append(model.name)
        keep_alive.note(model.name, body.keep_alive)
        return ask.writer(model, commands)

    model = local_name(service.catalog, body.model or "")
    kept = dataclasses.replace(ask, model=model, writer=writer)
    try:
        return await answers(lambda _body, _headers: kept)(request)
    except DistillerError as error:
        raise as_asked(error, body) from error
    finally:
        for name in used:  # the time begins anew when the answer ends
            keep_alive.note(name, body.keep_alive)


async def _load(request: Request, body: OllamaFields, part_body: PartBody) -> HTTPResponse:
    """Load the model, or say that it may go; it stays until another one is asked for."""
    service = service_of(request)
    asked = local_name(service.catalog, body.model or "")
    try:
        if body.is_unload:
            name, reason = _name_of(service, asked), "unload"
        else:
            name, reason = (await service.supervisor.use(asked, {})).name, "load"
    except DistillerError as error:
        raise as_asked(error, body) from error
    service.keep_alive.note(name, body.keep_alive)
    answer: dict[str, Any] = {**head_body(body.model or name), **part_body(Part())}
    return json_response({**answer, "done": True, "done_reason": reason})


def _name_of(service: Service, asked: str) -> str:
    """Return the file that a name means; a foreign name may mean the one that serves.

    Raises:
        ModelNotFound: it means none.
    """
    if file := service.catalog.asked(asked):
        return file.name
    serving = service.supervisor.serving
    return serving.name if serving else ""


def _log_unknown(body: OllamaFields) -> None:
    if unknown := read_options(body.options).unknown:
        log.warning("options_ignored", options=sorted(unknown)[:_MAX_LOGGED])
