"""Owns the status endpoints; they never wait for an engine, nor for long for the device."""

from __future__ import annotations

import time
from typing import Any

import msgspec
from sanic import HTTPResponse, Request
from sanic.response import text

from app.api.cache_status import disk_state
from app.api.route import OPEN, Route
from app.api.schemas.service import HealthResponse, HealthState, LiveResponse, RootResponse
from app.api.service import Service, service_of
from app.web.access_control import is_authenticated
from app.web.json_body import json_response

_RUNNING = "Ollama is running"
_LOAD_FAILED = "The model did not load; send an API key to see the reason"


async def root(request: Request) -> HTTPResponse:
    """Return that the server is running; in Ollama's words to a client that reads text only."""
    if _reads_text_only(request.headers.getall("accept", [])):
        return text(_RUNNING)
    return json_response(
        {
            "message": "LLM Server is running",
            "status": "ok",
            "version": service_of(request).version,
            "documentation": "/docs",
        }
    )


def _reads_text_only(accepted: list[str]) -> bool:
    """Return whether a client accepts text and neither JSON nor everything, as browsers do."""
    fields = ",".join(accepted).lower().split(",")
    types = {field.partition(";")[0].strip() for field in fields}
    return bool(types & {"text/plain", "text/*"}) and not types & {
        "application/json",
        "application/*",
        "*/*",
    }


async def health(request: Request) -> HTTPResponse:
    """Return whether a model is loaded, with details for authenticated clients."""
    service = service_of(request)
    body = _state(service)
    if is_authenticated(request):
        body |= await _details(service)
    response = json_response(body, status=200 if body["model_loaded"] else 503)
    if not body["model_loaded"]:
        response.headers["Retry-After"] = "1"
    return response


def _state(service: Service) -> dict[str, Any]:
    """Return the public state, which clients poll."""
    status, serving = service.supervisor.status, service.supervisor.serving
    return {
        "status": status.name,
        "message": _LOAD_FAILED if status.name == "error" else status.message,
        "model_loaded": serving is not None,
        "current_model": serving.name if serving else None,
    }


async def _details(service: Service) -> dict[str, Any]:
    supervisor = service.supervisor
    disk, trouble = disk_state(supervisor)
    device = await service.device.fresh()
    return {
        "message": supervisor.status.message,
        "hints": supervisor.serving.engine.stats.hints if supervisor.serving else [],
        "warnings": [*service.device.warnings(), *supervisor.status.warnings()],
        "version": service.version,
        "uptime_s": round(time.monotonic() - service.started_s, 1),
        "engine": _engine(service),
        "cache": {"disk": disk, "message": trouble},
        "profiles": msgspec.to_builtins(list(supervisor.profiles)),
        "device": msgspec.to_builtins(device),
    }


def _engine(service: Service) -> dict[str, Any]:
    supervisor = service.supervisor
    status, serving = supervisor.status, supervisor.serving
    engine: dict[str, Any] = {
        "restarts": status.restarts,
        "last_failure": status.last_failure,
        "load_fraction": supervisor.load_fraction,
    }
    if serving:
        info, cache = serving.info, serving.engine.stats.cache
        engine |= {
            "pid": serving.engine.pid,
            "requests": serving.engine.n_requests,
            "description": info.description,
            "n_ctx": info.n_ctx,
            "n_threads": info.n_threads,
            "n_ctx_train": info.n_ctx_train,
            "n_params": info.n_params,
            "size_bytes": info.size_bytes,
            "n_gpu_layers": info.n_gpu_layers,
            "n_threads_batch": info.n_threads_batch,
            "has_chat_template": info.has_chat_template,
            "load_ms": info.load_ms,
            "speculation": _ability(info.no_speculation),
            "abort_in_step": _ability(info.no_abort),
            "cache_layout": cache.layout,
            "cache_layout_message": cache.layout_message,
        }
    return engine


def _ability(reason: str) -> dict[str, str]:
    return {"state": "off" if reason else "on", "reason": reason}


async def live(_request: Request) -> HTTPResponse:
    """Return that the HTTP process is alive, independent of the engine."""
    return json_response({"status": "ok"})


ROUTES = (
    Route(
        method="get",
        path="/",
        handler=root,
        summary="Return that the server is running",
        response=RootResponse,
    ),
    Route(
        method="get",
        path="/health",
        aliases=("/v1/health",),
        handler=health,
        summary="Return whether a model is loaded",
        response=HealthResponse,
        errors=OPEN,
        brief=HealthState,
    ),
    Route(
        method="get",
        path="/health/live",
        handler=live,
        summary="Return that the HTTP process is alive",
        response=LiveResponse,
        errors=(*OPEN, 503),
    ),
)
