"""Owns `/restore_cache`: has a conversation's prompt ready before it is needed."""

from __future__ import annotations

import secrets
from contextlib import aclosing

from sanic import Blueprint, HTTPResponse, Request

from app.api import access_log
from app.api.bodies import json_response, parse
from app.api.errors import from_wire
from app.api.openai import to_prefill
from app.api.schemas.chat import RestoreCacheRequest
from app.api.service import service_of
from app.host.supervisor import Serving
from app.protocol import Failed, Finished, Prefill

blueprint = Blueprint("cache")


@blueprint.post("/restore_cache", name="restore_cache")
async def restore_cache(request: Request) -> HTTPResponse:
    """Prefill a conversation and keep it in the KV cache; generates nothing."""
    body = parse(request, RestoreCacheRequest)
    overrides = body.load_model_configs.overrides() if body.load_model_configs else {}
    serving = await service_of(request).supervisor.use(body.model, overrides)
    request_id = f"restore-{secrets.token_hex(8)}"
    finished = await _prefill(serving, to_prefill(body, request_id), request_id)
    access_log.note(request, model=serving.name)
    access_log.note_finished(request, finished)
    usage = finished.usage
    return json_response(
        {
            "status": "ok",
            "message": "cache is restored",
            "model": serving.name,
            "prompt_tokens": usage.prompt_tokens,
            "cached_tokens": usage.cached_tokens,
            "tier": "memory" if usage.cached_tokens else "none",
            "saved": False,
        }
    )


async def _prefill(serving: Serving, command: Prefill, request_id: str) -> Finished:
    async with aclosing(serving.engine.request(command, request_id)) as batches:
        async for batch in batches:
            last = batch[-1]
            if isinstance(last, Failed):
                raise from_wire(last.kind, last.message, last.param)
            if isinstance(last, Finished):
                return last
    raise AssertionError("an engine ends every request with Finished or Failed")
