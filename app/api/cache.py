"""Owns `/restore_cache`: has a conversation's prompt ready before it is needed."""

from __future__ import annotations

import secrets

from sanic import Blueprint, HTTPResponse, Request

from app.api import access_log
from app.api.bodies import json_response, parse
from app.api.errors import raise_if_failed
from app.api.openai import to_prefill
from app.api.schemas.chat import RestoreCacheRequest
from app.api.service import service_of
from app.protocol import Finished

blueprint = Blueprint("cache")


@blueprint.post("/restore_cache", name="restore_cache")
async def restore_cache(request: Request) -> HTTPResponse:
    """Prefill a conversation and keep it in the KV cache; generates nothing."""
    body = parse(request, RestoreCacheRequest)
    overrides = body.load_model_configs.overrides() if body.load_model_configs else {}
    serving = await service_of(request).supervisor.use(body.model, overrides)
    request_id = f"restore-{secrets.token_hex(8)}"
    access_log.note(request, model=serving.name)
    last = await serving.engine.ask(to_prefill(body, request_id), request_id)
    raise_if_failed(last)
    if not isinstance(last, Finished):
        raise RuntimeError(f"an engine answered Prefill with {type(last).__name__}")
    access_log.note_answer(request, last.usage, last.timings, last.reason)
    usage = last.usage
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
