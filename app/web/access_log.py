"""Owns request ids and the one log line per request; no message text ever goes in."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import Callable
from typing import Any

import structlog
from sanic import Request, Sanic
from sanic.exceptions import RequestTimeout
from sanic.response import BaseHTTPResponse

from app.logs import get_logger
from app.web.content_encoding import receive_body

_ACCEPTABLE_ID = re.compile(r"[A-Za-z0-9._:\-]{1,128}")
_QUIET_PATHS = ("/health", "/v1/health", "/health/live")

log = get_logger("access")


def install(app: Sanic[Any, Any], count_request: Callable[[int], None]) -> None:
    """Give every request an id and a log line.

    Args:
        count_request: called with the status of each response.
    """

    async def begin(request: Request) -> None:
        _begin(request, count_request)

    app.register_middleware(begin, "request", priority=100)
    app.register_middleware(_read_body, "request", priority=10)
    app.register_middleware(_end, "response")


def _begin(request: Request, count_request: Callable[[int], None]) -> None:
    offered = request.headers.get("x-request-id", "")
    request_id = offered if _ACCEPTABLE_ID.fullmatch(offered) else secrets.token_hex(8)
    request.ctx.request_id = request_id
    request.ctx.began_s = time.monotonic()
    request.ctx.facts = {}
    request.ctx.logged = False
    request.ctx.count_request = count_request
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=request_id)


async def _read_body(request: Request) -> None:
    """Read the body with a timeout, after access control; Sanic does neither.

    Handlers of routes with `stream` read it themselves.

    Raises:
        RequestTimeout: the body did not arrive in time.
    """
    if request.route is not None and request.route.extra.stream:
        return
    try:
        async with asyncio.timeout(request.app.config.REQUEST_TIMEOUT):
            await receive_body(request)
    except TimeoutError:
        raise RequestTimeout("The request body did not arrive in time") from None


async def _end(request: Request, response: BaseHTTPResponse) -> None:
    request_id = getattr(request.ctx, "request_id", None)
    if request_id is None:
        return
    response.headers["X-Request-ID"] = request_id
    response.headers["request-id"] = request_id  # Anthropic's name
    if not getattr(request.ctx, "streams", False):
        write(request, response.status)


def begin_stream(request: Request) -> None:
    """Leave the log line to the handler, which writes it at the end of its stream."""
    request.ctx.streams = True


def note(request: Request, **facts: Any) -> None:
    """Add facts to the request's log line."""
    request.ctx.facts.update(facts)


def write(request: Request, status: int) -> None:
    """Write the request's log line, once."""
    if request.ctx.logged:
        return
    request.ctx.logged = True
    request.ctx.count_request(status)
    level = "debug" if request.path in _QUIET_PATHS else "info"
    getattr(log, level)(
        "request",
        method=request.method,
        path=request.path,
        status=status,
        total_ms=round((time.monotonic() - request.ctx.began_s) * 1000.0, 1),
        **request.ctx.facts,
    )
