"""Owns who may ask: every request passes here before its body is read.

In order: the Host header, the origin of a web page, the API key, how much the client has open.
What may be asked is the handlers' business.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sanic import HTTPResponse, Request, Sanic
from sanic.exceptions import BadRequest
from sanic.response import BaseHTTPResponse

from app.api.service import service_of
from app.errors import HostRefused, KeyRefused, TooManyRequests
from app.web import access_log, cors
from app.web.access_policy import AccessPolicy
from app.web.host_header import is_own_name, name_in

# What tells that the service lives: never asked for a key, never too much.
_OPEN_PATHS = ("/health", "/health/live")
_SCHEME = "bearer"
_UNIX_CLIENT = "unix socket"


def install(app: Sanic[Any, Any]) -> None:
    """Have every request pass the doors, after it got its id and before its body is read."""
    app.register_middleware(_guard, "request", priority=50)
    app.register_middleware(_mark, "response")


def is_known(request: Request) -> bool:
    """Return whether the client may see everything: it showed a key, or none is needed."""
    access_policy = service_of(request).access_policy
    return not access_policy.keys or getattr(request.ctx, "key_name", None) is not None


async def _guard(request: Request) -> HTTPResponse | None:
    if request.conn_info is None:  # its header could not be read: the answer is an error anyway
        return None
    try:
        return _admit(request, service_of(request).access_policy)
    except Exception:
        _end_connection_with_unread_body(request)
        raise


def _admit(request: Request, access_policy: AccessPolicy) -> HTTPResponse | None:
    _check_host(request, access_policy)
    cors.check_origin(request, access_policy.cors_origins)
    if cors.is_preflight(request):
        return cors.preflight_response(request)
    token = _shown_key(request)
    request.ctx.key_name = access_policy.keys.name_of(token) if token else None
    if request.ctx.key_name:
        access_log.note(request, key_name=request.ctx.key_name)
    if request.path in _OPEN_PATHS:
        _check_no_body(request)
        return None
    if access_policy.keys and not request.ctx.key_name:
        raise KeyRefused(is_wrong=bool(token))
    _check_share(request, service_of(request).open_requests(), access_policy.max_client_requests)
    return None


async def _mark(request: Request, response: BaseHTTPResponse) -> None:
    cors.add_headers(request, response, service_of(request).access_policy.cors_origins)


def _check_host(request: Request, access_policy: AccessPolicy) -> None:
    """Refuse names that are not this server's, where no key tells friends from strangers.

    Raises:
        HostRefused: it is none of ours.
        BadRequest: there is none, or there are several.
    """
    reached_at = request.conn_info.sockname if request.conn_info else None
    if not isinstance(reached_at, tuple):  # browsers cannot reach a unix socket
        return
    headers = request.headers.getall("host", [])
    if len(headers) != 1:
        if headers or request.version != "1.0":
            raise BadRequest("A request has exactly one Host header")
        return  # not a browser
    if access_policy.keys:
        return
    name = name_in(headers[0])
    if name is None or not is_own_name(name, reached_at[0], access_policy.allowed_hosts):
        raise HostRefused(headers[0])


def _shown_key(request: Request) -> str | None:
    scheme, _, token = request.headers.get("authorization", "").strip().partition(" ")
    return token.strip() or None if scheme.lower() == _SCHEME else None


def _check_no_body(request: Request) -> None:
    """Refuse a body where strangers are let in as often as they like: it would be kept in memory.

    Raises:
        BadRequest: there is one.
    """
    http: Any = request.stream
    if http is not None and (http.request_body == "chunked" or http.request_bytes_left):
        raise BadRequest(f"{request.path} takes no body")


def _check_share(request: Request, in_work: Iterable[Request], most: int) -> None:
    """Refuse a client that has as many requests open as it may.

    A client is a key; without keys it is an address, or all who use the unix socket.

    Raises:
        TooManyRequests: it has.
    """
    address = request.conn_info.client_ip if request.conn_info else ""
    client = request.ctx.key_name or address or _UNIX_CLIENT
    if sum(getattr(other.ctx, "client", None) == client for other in in_work) >= most:
        raise TooManyRequests(most)
    request.ctx.client = client


def _end_connection_with_unread_body(request: Request) -> None:
    http: Any = request.stream
    if http is not None and http.request_body:
        http.keep_alive = False
