"""Owns the OpenAPI document: a table of routes and the schemas behind them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from app.api.dialects.chat_completions import answer
from app.api.dialects.chat_completions import schemas as chat
from app.api.schemas import cache, common, service

_OPEN = (400, 403, 405, 408, 413, 431)  # what the gate and the connection may answer to anything
_GUARDED = (*_OPEN, 401, 429, 503)
_LOADS = (*_GUARDED, 404, 500, 507)
_QUEUES = (*_LOADS, 504)
_KEY = "apiKey"


@dataclass(frozen=True, slots=True)
class Route:
    """One documented route.

    Args:
        aliases: further paths that answer alike.
        query: query parameters, none of them required, and what they are.
        response: None where the answer is plain text.
        brief: what clients without a key get instead, where keys are needed.
        errors: statuses that answer with the error body.
    """

    method: str
    path: str
    summary: str
    response: type[BaseModel] | None
    request: type[BaseModel] | None = None
    aliases: tuple[str, ...] = ()
    query: Mapping[str, str] = field(default_factory=dict)
    errors: tuple[int, ...] = _GUARDED
    streams: bool = False
    brief: type[BaseModel] | None = None


ROUTES = (
    Route("get", "/", "Say that the server runs", service.RootResponse),
    Route(
        "get",
        "/health",
        "Say whether a model serves",
        service.HealthResponse,
        errors=_OPEN,
        brief=service.HealthState,
    ),
    Route(
        "get",
        "/health/live",
        "Say that the HTTP process turns",
        service.LiveResponse,
        errors=(*_OPEN, 503),
    ),
    Route("get", "/metrics", "Return numbers for Prometheus", None),
    Route(
        "get", "/models", "List the model files", service.ModelsResponse, aliases=("/v1/models",)
    ),
    Route(
        "get",
        "/models/{model_id}",
        "Describe one model file",
        service.ModelEntry,
        aliases=("/v1/models/{model_id}",),
        errors=(*_GUARDED, 404),
    ),
    Route(
        "post",
        "/setModel",
        "Load a model and let it serve",
        service.SetModelResponse,
        service.SetModelRequest,
        errors=_LOADS,
    ),
    Route(
        "post",
        "/chat/completions",
        "Answer a conversation",
        answer.ChatResponse,
        chat.ChatRequest,
        aliases=("/v1/chat/completions",),
        errors=_QUEUES,
        streams=True,
    ),
    Route(
        "post",
        "/restore_cache",
        "Have a conversation's prompt ready",
        chat.RestoreCacheResponse,
        chat.RestoreCacheRequest,
        errors=_QUEUES,
    ),
    Route("get", "/cache", "Say what is cached", cache.CacheResponse),
    Route(
        "delete",
        "/cache",
        "Forget what is cached, of all models or of one",
        cache.ClearCacheResponse,
        query={"model": "File name of the model; left out: all of them."},
        errors=(*_GUARDED, 404),
    ),
    Route(
        "post",
        "/tokenize",
        "Turn text into token ids",
        service.TokenizeResponse,
        service.TokenizeRequest,
        aliases=("/v1/tokenize",),
    ),
    Route(
        "post",
        "/detokenize",
        "Turn token ids into text",
        service.DetokenizeResponse,
        service.DetokenizeRequest,
        aliases=("/v1/detokenize",),
    ),
    Route(
        "post",
        "/apply-template",
        "Return the prompt that a chat request would have",
        answer.ApplyTemplateResponse,
        chat.ChatRequest,
        aliases=("/v1/apply-template",),
        errors=_LOADS,
    ),
)
_REASONS = {
    400: "A field is wrong, `error.param` names it; or there is no Host header",
    401: "Keys are configured, and the request shows none of them",
    403: "Host is no name of this server, or a web page of another server asks",
    404: "No such model",
    405: "The path does not take this method",
    408: "The client took too long to send the request",
    413: "The body is too large",
    429: "Too many requests wait or are open; `Retry-After` says when to ask again",
    431: "The header is too large",
    500: "The model could not be loaded, or the service failed",
    504: "The request took longer than its deadline",
    507: "The model does not fit into memory, however short its context",
    503: "Nothing can answer now; `Retry-After` says when to ask again",
}


def document(version: str, *, needs_key: bool) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of the service, as it is configured."""
    used = {route.response for route in ROUTES if route.response} | {common.ErrorBody}
    used |= {route.brief for route in ROUTES if route.brief}
    used |= {route.request for route in ROUTES if route.request}
    ordered = sorted(used, key=lambda schema: schema.__name__)
    _, definitions = models_json_schema(
        [(schema, "validation") for schema in ordered],
        ref_template="#/components/schemas/{model}",
    )
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        for path in (route.path, *route.aliases):
            paths.setdefault(path, {})[route.method] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Distiller LLM", "version": version, "license": {"name": "MIT"}},
        "security": [{_KEY: []}] if needs_key else [{}, {_KEY: []}],
        "paths": paths,
        "components": {
            "schemas": definitions["$defs"],
            "securitySchemes": {_KEY: _scheme(needs_key=needs_key)},
        },
    }


def _scheme(*, needs_key: bool) -> dict[str, str]:
    state = "One of the configured API keys." if needs_key else "No key is needed as configured."
    return {"type": "http", "scheme": "bearer", "description": state}


def _operation(route: Route) -> dict[str, Any]:
    content: dict[str, Any] = {"text/plain": {"schema": {"type": "string"}}}
    if route.response:
        content = {"application/json": {"schema": _answer(route.response, route.brief)}}
    if route.streams:
        content["text/event-stream"] = {"schema": {"type": "string"}}
    responses: dict[str, Any] = {"200": {"description": route.summary, "content": content}}
    if route.path == "/health":
        responses["503"] = {"description": _REASONS[503], "content": content}
    for status in route.errors:
        error = {"application/json": {"schema": _reference(common.ErrorBody)}}
        responses[str(status)] = {"description": _REASONS[status], "content": error}
    operation: dict[str, Any] = {"summary": route.summary, "responses": responses}
    if route.request:
        body = {"application/json": {"schema": _reference(route.request)}}
        operation["requestBody"] = {"required": True, "content": body}
    if parameters := _parameters(route):
        operation["parameters"] = parameters
    if 401 not in route.errors:
        operation["security"] = [{}, {_KEY: []}] if route.brief else []
    return operation


def _answer(response: type[BaseModel], brief: type[BaseModel] | None) -> dict[str, Any]:
    if brief is None:
        return _reference(response)
    return {"anyOf": [_reference(response), _reference(brief)]}


def _parameters(route: Route) -> list[dict[str, Any]]:
    text = {"type": "string"}
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "query", "description": description, "schema": text}
        for name, description in route.query.items()
    ]
    if "{model_id}" in route.path:
        parameters.append({"name": "model_id", "in": "path", "required": True, "schema": text})
    return parameters


def _reference(schema: type[BaseModel]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{schema.__name__}"}
