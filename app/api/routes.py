"""Owns the list of dialects and the table of routes, served and documented."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sanic import Blueprint

from app.api.dialect import Dialect
from app.api.dialects.anthropic.routes import DIALECT as ANTHROPIC
from app.api.dialects.chat_completions.routes import DIALECT as CHAT_COMPLETIONS
from app.api.dialects.completions.routes import DIALECT as COMPLETIONS
from app.api.dialects.llama_completion.routes import DIALECT as LLAMA_COMPLETION
from app.api.dialects.ollama.routes import DIALECT as OLLAMA
from app.api.dialects.ollama_catalogue.routes import DIALECT as OLLAMA_CATALOGUE
from app.api.dialects.responses.routes import DIALECT as RESPONSES
from app.api.endpoints import (
    cache,
    documentation,
    health,
    metrics,
    models,
    streams,
    tokens,
    unsupported,
)
from app.api.route import Route, blueprint_of
from app.web.errors import ErrorShape, error_body

DIALECTS: tuple[Dialect, ...] = (
    CHAT_COMPLETIONS,
    COMPLETIONS,
    LLAMA_COMPLETION,
    ANTHROPIC,
    OLLAMA,
    RESPONSES,
    OLLAMA_CATALOGUE,
)


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
            "unsupported": unsupported.ROUTES,
        }
        self.documented = tuple(route for group in documented.values() for route in group)
        self._groups = documented | {"documentation": documentation.routes(self.documented)}
        self._patterns = [
            (route.pattern(), dialect) for dialect in dialects for route in dialect.routes
        ]
        self._prefixes = [(each.prefix, each) for each in dialects if each.prefix]

    def blueprints(self) -> list[Blueprint]:
        """Return a blueprint for each group."""
        return [blueprint_of(name, routes) for name, routes in self._groups.items()]

    def error_shape(self, path: str) -> ErrorShape:
        """Return the shape of the errors of a path: that of the dialect whose route it is."""
        dialect = self._dialect(path)
        return dialect.error_body if dialect else error_body

    def error_statuses(self, path: str) -> Mapping[str, int]:
        """Return the statuses of errors that differ at a path, by error code."""
        dialect = self._dialect(path)
        return dialect.statuses if dialect else {}

    def _dialect(self, path: str) -> Dialect | None:
        for pattern, dialect in self._patterns:
            if pattern.fullmatch(path):
                return dialect
        under = (dialect for prefix, dialect in self._prefixes if path.startswith(prefix))
        return next(under, None)
