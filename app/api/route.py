"""Owns what a route is: a handler with its path, and what `/openapi.json` says of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel
from sanic import Blueprint, HTTPResponse

from app.api.schemas.common import ErrorBody

OPEN = (400, 403, 405, 408, 413, 431)  # what the gate and the connection may answer to anything
GUARDED = (*OPEN, 401, 429, 503)
LOADS = (*GUARDED, 404, 500, 507)
QUEUES = (*LOADS, 504)

_PARAMETER = re.compile(r"{(\w+)}")

Handler = Callable[..., Coroutine[Any, Any, HTTPResponse | None]]
"""Takes a request and, by name, the parameters in its path; None after a stream."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A handler, the paths it answers at, and their description.

    Args:
        path: parameters stand in braces.
        aliases: further paths that answer alike.
        response: None where the answer is plain text.
        query: query parameters, none of them required, and what they are.
        errors: statuses that answer with an error.
        error: the shape of its errors.
        brief: what clients without a key get instead, where keys are needed.
        has_head: whether HEAD is answered as well.
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
    brief: type[BaseModel] | None = None
    has_head: bool = False

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
        methods = ["GET", "HEAD"] if route.has_head else [route.method.upper()]
        for path in route.paths:
            blueprint.add_route(
                route.handler,
                _PARAMETER.sub(r"<\1:str>", path),
                methods=methods,
                name=f"{route.method}_{path}",
                unquote=bool(route.parameters),
            )
    return blueprint
