"""Owns an example of every error, and how one is answered."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

from sanic import Request

from app import errors
from app.errors import DistillerError
from app.web.errors import ErrorShape, JsonErrorHandler, error_body, fault_of

MAX_BODY_BYTES = 1000
MAX_HEADER_BYTES = 2000
NO_STATUSES: Mapping[str, int] = {}
# Raised before there is anything for an engine.
OF_THE_GATE = {
    errors.KeyRefused,
    errors.HostRefused,
    errors.OriginRefused,
    errors.TooManyRequests,
    errors.TooManyAnswers,
}


BRANCHES = (DistillerError, errors.CallerError, errors.EnvironmentFailure)


def leaves(kind: type[DistillerError] = DistillerError) -> list[type[DistillerError]]:
    """Return all errors that are raised, also those that have a special kind below them."""
    children = [child for child in kind.__subclasses__() if child.__module__ == errors.__name__]
    below = [leaf for child in children for leaf in leaves(child)]
    return below if kind in BRANCHES else [kind, *below]


def sample(kind: type[DistillerError]) -> DistillerError:
    if kind is errors.ContextOverflow:
        return errors.ContextOverflow(5000, 4096)
    if kind is errors.QueueFull:
        return errors.QueueFull(7)
    if kind is errors.KeyRefused:
        return errors.KeyRefused(is_wrong=True)
    if kind is errors.TooManyRequests:
        return errors.TooManyRequests(3)
    return kind("something is wrong")


def body_of(error: Exception) -> dict[str, Any]:
    return error_body(fault_of(error))


def response(
    error: Exception, shape: ErrorShape = error_body, statuses: Mapping[str, int] = NO_STATUSES
) -> tuple[int, Any, dict[str, Any]]:
    """Return status, headers and body of the answer to a request that raised."""
    config = SimpleNamespace(
        REQUEST_MAX_SIZE=MAX_BODY_BYTES, REQUEST_MAX_HEADER_SIZE=MAX_HEADER_BYTES
    )
    request = cast(
        Request,
        SimpleNamespace(app=SimpleNamespace(config=config), ctx=SimpleNamespace(), path="/x"),
    )
    handler = JsonErrorHandler(lambda _path: shape, lambda _path: statuses)
    answer = handler.default(request, error)
    assert answer.content_type == "application/json"
    return answer.status, answer.headers, json.loads(answer.body or b"")
