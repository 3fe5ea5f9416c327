"""Owns the definition of a route: a handler with its paths and its OpenAPI description."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel
from sanic import Blueprint, HTTPResponse

from app.api.schemas.common import ErrorBody

OPEN = (400, 403, 405, 408, 413, 431)  # by access control and the transport, on any path
GUARDED = (*OPEN, 401, 415, 429, 503)
LOADS = (*GUARDED, 404, 500, 507)
QUEUES = (*LOADS, 504)

_PARAMETER = re.compile(r"{(\w+)}")

Handler = Callable[..., Coroutine[Any, Any, HTTPResponse | None]]
"""Takes a request and, by name, the parameters in its path; None after a stream."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A handler, the paths it answers at, and their description; those of GET answer HEAD too.

    Args:
        path: parameters stand in braces.
        aliases: other paths of the same handler.
        response: None if the response is plain text.
        query: descriptions of the query parameters, all optional.
        errors: statuses of error responses.
        error: the shape of its errors.
        stream_type: the content type of its streams.
        brief: the response to unauthenticated clients, if it differs.
        reads_body: whether the handler reads the body itself, piece by piece.
        is_empty: whether success is a 204, without a body.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    response: type[BaseModel] | None = None
    request: type[BaseModel] | None = None
    aliases: tuple[str, ...] = ()
    query: Mapping[str, str] = field(default_factory=dict)
    errors: tuple[int, ...] = GUARDED
    error: type[BaseModel] = ErrorBody
    streams: bool = False
    stream_type: str = "text/event-stream"
    brief: type[BaseModel] | None = None
    reads_body: bool = False
    is_empty: bool = False

    @property
    def paths(self) -> tuple[str, ...]:
        """All paths."""
        return (self.path, *self.aliases)

    @property
    def parameters(self) -> list[str]:
        """The names of the parameters in the path."""
        return _PARAMETER.findall(self.path)

    def pattern(self) -> re.Pattern[str]:
        """Return what matches a path of this route; a slash may follow it, as in Sanic."""
        paths = "|".join(_PARAMETER.sub("[^/]+", path) for path in self.paths)
        return re.compile(f"(?:{paths})/?")


def blueprint_of(name: str, routes: Iterable[Route]) -> Blueprint:
    """Return the blueprint of a group of routes."""
    blueprint = Blueprint(name)
    for route in routes:
        method = route.method.upper()
        methods = ["GET", "HEAD"] if method == "GET" else [method]
        for path in route.paths:
            blueprint.add_route(
                route.handler,
                _PARAMETER.sub(r"<\1:str>", path),
                methods=methods,
                name=f"{route.method}_{path}",
                unquote=bool(route.parameters),
                stream=route.reads_body,
            )
    return blueprint
