"""Owns the OpenAPI document, built from the routes and their schemas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from app.api.route import Route

# Either is enough; `app.web.access_control` reads both.
_SCHEMES = {
    "bearerAuth": {"type": "http", "scheme": "bearer"},
    "apiKeyAuth": {"type": "apiKey", "in": "header", "name": "x-api-key"},
}
_AUTHENTICATED: list[dict[str, list[str]]] = [{name: []} for name in _SCHEMES]
_OPTIONAL: list[dict[str, list[str]]] = [{}, *_AUTHENTICATED]
_REASONS = {
    400: "A field is invalid, `error.param` names it; or the Host header is missing",
    401: "The API key is missing or invalid",
    403: "Host is not a name of this server, or the Origin is not allowed",
    404: "No such model",
    405: "Method not allowed",
    408: "The client took too long to send the request",
    409: "The model is loaded",
    413: "The body is too large",
    415: "The body is sent in a Content-Encoding that is not supported",
    429: "Too many queued or open requests; retry after `Retry-After` seconds",
    431: "The header is too large",
    500: "The model could not be loaded, or an internal error",
    501: "The service or its model lacks what is asked for",
    504: "The request took longer than its deadline",
    507: "The model does not fit into memory, however short its context",
    503: "Temporarily unavailable; retry after `Retry-After` seconds",
}


def document(routes: Sequence[Route], version: str, *, needs_key: bool) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of the service, as it is configured."""
    used = {route.response for route in routes if route.response}
    used |= {route.error for route in routes}
    used |= {route.brief for route in routes if route.brief}
    used |= {route.request for route in routes if route.request}
    ordered = sorted(used, key=lambda schema: schema.__name__)
    _, definitions = models_json_schema(
        [(schema, "validation") for schema in ordered],
        ref_template="#/components/schemas/{model}",
    )
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        for path in route.paths:
            paths.setdefault(path, {})[route.method] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Distiller LLM", "version": version, "license": {"name": "MIT"}},
        "security": _AUTHENTICATED if needs_key else _OPTIONAL,
        "paths": paths,
        "components": {
            "schemas": definitions["$defs"],
            "securitySchemes": _security_schemes(needs_key=needs_key),
        },
    }


def _security_schemes(*, needs_key: bool) -> dict[str, dict[str, str]]:
    text = "One of the configured API keys." if needs_key else "No API keys are configured."
    return {name: {**scheme, "description": text} for name, scheme in _SCHEMES.items()}


def _operation(route: Route) -> dict[str, Any]:
    content: dict[str, Any] = {"text/plain": {"schema": {"type": "string"}}}
    if route.response:
        content = {"application/json": {"schema": _answer(route.response, route.brief)}}
    if route.streams:
        content[route.stream_type] = {"schema": {"type": "string"}}
    responses: dict[str, Any] = {"200": {"description": route.summary, "content": content}}
    if route.is_empty:
        responses = {"204": {"description": route.summary}}
    if route.path == "/health":
        responses["503"] = {"description": _REASONS[503], "content": content}
    for status in route.errors:
        error = {"application/json": {"schema": _reference(route.error)}}
        responses[str(status)] = {"description": _REASONS[status], "content": error}
    operation: dict[str, Any] = {"summary": route.summary, "responses": responses}
    if route.request:
        body = {"application/json": {"schema": _reference(route.request)}}
        operation["requestBody"] = {"required": True, "content": body}
    if route.reads_body:
        responses["201"] = {"description": "It was received", "content": content}
        data = {"schema": {"type": "string", "format": "binary"}}
        operation["requestBody"] = {
            "required": True,
            "content": {"application/octet-stream": data},
        }
    if parameters := _parameters(route):
        operation["parameters"] = parameters
    if 401 not in route.errors:
        operation["security"] = _OPTIONAL if route.brief else []
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
    return parameters + [
        {"name": name, "in": "path", "required": True, "schema": text} for name in route.parameters
    ]


def _reference(schema: type[BaseModel]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{schema.__name__}"}
