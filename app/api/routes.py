"""Owns the list of all routes and of all dialects: what is served, and what is documented."""

from __future__ import annotations

from app.api.dialects.chat_completions.routes import DIALECT as CHAT_COMPLETIONS
from app.api.endpoints import cache, documentation, health, metrics, models, tokens
from app.api.route import Route, blueprint_of
from app.web.errors import ErrorShape, error_body

DIALECTS = (CHAT_COMPLETIONS,)

_DOCUMENTED: dict[str, tuple[Route, ...]] = {
    "health": health.ROUTES,
    "metrics": metrics.ROUTES,
    "models": models.ROUTES,
    **{dialect.name: dialect.routes for dialect in DIALECTS},
    "cache": cache.ROUTES,
    "tokens": tokens.ROUTES,
}
DOCUMENTED = tuple(route for routes in _DOCUMENTED.values() for route in routes)
GROUPS = {**_DOCUMENTED, "documentation": documentation.routes(DOCUMENTED)}
BLUEPRINTS = tuple(blueprint_of(name, routes) for name, routes in GROUPS.items())

_SHAPES = [
    (route.pattern(), dialect.error_body) for dialect in DIALECTS for route in dialect.routes
]


def error_shape(path: str) -> ErrorShape:
    """Return the shape of the errors of a path: that of the dialect whose route it is."""
    for pattern, shape in _SHAPES:
        if pattern.fullmatch(path):
            return shape
    return error_body
