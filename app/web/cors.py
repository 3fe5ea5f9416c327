"""Owns what web pages of other servers may do: nothing, but for the origins of the settings."""

from __future__ import annotations

import re
from collections.abc import Set
from urllib.parse import urlsplit

from sanic import HTTPResponse, Request
from sanic.response import BaseHTTPResponse

from app.config.access import ANY_ORIGIN
from app.errors import OriginRefused

_METHODS = "GET, HEAD, POST, DELETE, OPTIONS"
_SHOWN_HEADERS = "X-Request-ID, Retry-After"
_REMEMBERED_S = "600"
_HEADER_NAMES = re.compile(r"[A-Za-z0-9_\-, ]{1,2000}")
_USUAL_HEADERS = "Authorization, Content-Type, X-API-Key, X-Request-ID"


def check_origin(request: Request, allowed: Set[str]) -> None:
    """Let pass what is no web page's, what is this server's own page's, and configured origins.

    Raises:
        OriginRefused: neither.
    """
    origin = request.headers.get("origin")
    if origin is None or _is_allowed(origin, allowed):
        return
    if not _is_same(origin, request.headers.get("host", "")):
        raise OriginRefused(origin)


def is_preflight(request: Request) -> bool:
    """Return whether a browser asks what a page may send; it shows no key with that."""
    headers = request.headers
    return (
        request.method == "OPTIONS"
        and "origin" in headers
        and "access-control-request-method" in headers
    )


def preflight_response(request: Request) -> HTTPResponse:
    """Return what an allowed page may send."""
    wanted = request.headers.get("access-control-request-headers", "")
    names = wanted if _HEADER_NAMES.fullmatch(wanted) else _USUAL_HEADERS
    return HTTPResponse(
        status=204,
        headers={
            "Access-Control-Allow-Methods": _METHODS,
            "Access-Control-Allow-Headers": names,
            "Access-Control-Max-Age": _REMEMBERED_S,
        },
    )


def add_headers(request: Request, response: BaseHTTPResponse, allowed: Set[str]) -> None:
    """Say to the browser who may read this response; without configured origins, nothing."""
    if not allowed:
        return
    vary = "Origin, Access-Control-Request-Headers" if request.method == "OPTIONS" else "Origin"
    response.headers["Vary"] = vary
    origin = request.headers.get("origin")
    if origin is not None and _is_allowed(origin, allowed):
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = _SHOWN_HEADERS


def _is_allowed(origin: str, allowed: Set[str]) -> bool:
    return origin.lower() in allowed or ANY_ORIGIN in allowed


def _is_same(origin: str, host: str) -> bool:
    """Return whether a page comes from here; whether through TLS is a proxy's to know."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower() != ""
