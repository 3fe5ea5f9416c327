"""Owns the list of dialects and the table of routes, served and documented."""

from __future__ import annotations

from collections.abc import Sequence

from sanic import Blueprint

from app.api.dialect import Dialect
from app.api.dialects.chat_completions.routes import DIALECT as CHAT_COMPLETIONS
from app.api.dialects.completions.routes import DIALECT as COMPLETIONS
from app.api.dialects.llama_completion.routes import DIALECT as LLAMA_COMPLETION
from app.api.dialects.responses.routes import DIALECT as RESPONSES
from app.api.endpoints import cache, documentation, health, metrics, models, streams, tokens
from app.api.route import Route, blueprint_of
from app.web.errors import ErrorShape, error_body

DIALECTS: tuple[Dialect, ...] = (CHAT_COMPLETIONS, COMPLETIONS, LLAMA_COMPLETION, RESPONSES)


class RouteTable:
    """The routes of the service, in groups.

    Args:
        dialects: the ones to serve.
    """

    def __init__(self, dialects: Sequence[Dialect]) -> None:
        documented: dict[str, tuple[Route, ...]] = {
            "health": health.ROUTES,
            "metrics": metrics.ROUTES,
            "models": models.ROUTES,
            **{dialect.name: dialect.routes for dialect in dialects},
            "streams": streams.ROUTES,
            "cache": cache.ROUTES,
            "tokens": tokens.ROUTES,
        }
        self.documented = tuple(route for group in documented.values() for route in group)
        self._groups = documented | {"documentation": documentation.routes(self.documented)}
        self._shapes = [
            (route.pattern(), dialect.error_body)
            for dialect in dialects
            for route in dialect.routes
        ]

    def blueprints(self) -> list[Blueprint]:
        """Return a blueprint for each group."""
        return [blueprint_of(name, routes) for name, routes in self._groups.items()]

    def error_shape(self, path: str) -> ErrorShape:
        """Return the shape of the errors of a path: that of the dialect whose route it is."""
        for pattern, shape in self._shapes:
            if pattern.fullmatch(path):
                return shape
        return error_body
