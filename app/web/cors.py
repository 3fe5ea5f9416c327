"""Owns the Origin check and the CORS headers."""

from __future__ import annotations

import re
from collections.abc import Set
from urllib.parse import urlsplit

from sanic import HTTPResponse, Request
from sanic.response import BaseHTTPResponse

from app.config.access import ANY_ORIGIN
from app.errors import OriginRefused

_METHODS = "GET, HEAD, POST, DELETE, OPTIONS"
_EXPOSED_HEADERS = "X-Request-ID, Request-ID, Retry-After"
_MAX_AGE_S = "600"
_HEADER_NAMES = re.compile(r"[A-Za-z0-9_\-, ]{1,2000}")
_DEFAULT_HEADERS = "Authorization, Content-Type, X-API-Key, X-Request-ID"


def check_origin(request: Request, allowed: Set[str]) -> None:
    """Refuse requests from web pages of other origins than this server's and the allowed ones.

    Raises:
        OriginRefused: the origin is not allowed.
    """
    origin = request.headers.get("origin")
    if origin is None or _is_allowed(origin, allowed):
        return
    if not _is_same(origin, request.headers.get("host", "")):
        raise OriginRefused(origin)


def is_preflight(request: Request) -> bool:
    """Return whether a request is a CORS preflight, which carries no credentials."""
    headers = request.headers
    return (
        request.method == "OPTIONS"
        and "origin" in headers
        and "access-control-request-method" in headers
    )


def preflight_response(request: Request) -> HTTPResponse:
    """Return the response to a preflight."""
    requested = request.headers.get("access-control-request-headers", "")
    names = requested if _HEADER_NAMES.fullmatch(requested) else _DEFAULT_HEADERS
    return HTTPResponse(
        status=204,
        headers={
            "Access-Control-Allow-Methods": _METHODS,
            "Access-Control-Allow-Headers": names,
            "Access-Control-Max-Age": _MAX_AGE_S,
        },
    )


def add_headers(request: Request, response: BaseHTTPResponse, allowed: Set[str]) -> None:
    """Add the CORS headers to a response, if any origins are allowed."""
    if not allowed:
        return
    vary = "Origin, Access-Control-Request-Headers" if request.method == "OPTIONS" else "Origin"
    response.headers["Vary"] = vary
    origin = request.headers.get("origin")
    if origin is not None and _is_allowed(origin, allowed):
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = _EXPOSED_HEADERS


def _is_allowed(origin: str, allowed: Set[str]) -> bool:
    return origin.lower() in allowed or ANY_ORIGIN in allowed


def _is_same(origin: str, host: str) -> bool:
    """Return whether an origin is this server's; either scheme, as a proxy may add TLS."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower() != ""
