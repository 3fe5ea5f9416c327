"""Owns who may ask: every request passes here before its body is read.

In order: the Host header, the origin of a web page, the API key, how much the client has open.
What may be asked is the handlers' business.

A key is shown as `Authorization: Bearer KEY` or as `x-api-key: KEY`. Who shows both needs both to
be known: a wrong one is refused even beside a right one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from sanic import HTTPResponse, Request, Sanic
from sanic.exceptions import BadRequest
from sanic.response import BaseHTTPResponse

from app.errors import HostRefused, KeyRefused, TooManyRequests
from app.web import access_log, cors
from app.web.api_keys import ApiKeys
from app.web.host_header import is_own_name, name_in

# What tells that the service lives: never asked for a key, never too much.
_OPEN_PATHS = ("/health", "/health/live")
_SCHEME = "bearer"
_UNIX_CLIENT = "unix socket"


@dataclass(frozen=True, slots=True)
class AccessPolicy:
    """Who is let in; replaced as a whole when the settings are read again.

    Args:
        keys: without any, everybody is let in who names this server rightly.
        allowed_hosts: names of this server besides loopback's and the address of a connection.
        cors_origins: web pages that may ask.
        max_client_requests: requests that one client may have open.
    """

    keys: ApiKeys = field(default_factory=ApiKeys)
    allowed_hosts: frozenset[str] = frozenset()
    cors_origins: frozenset[str] = frozenset()
    max_client_requests: int = 64


def install(
    app: Sanic[Any, Any],
    policy: Callable[[], AccessPolicy],
    open_requests: Callable[[], Iterable[Request]],
) -> None:
    """Hold every request to the policy, after it got its id and before its body is read.

    Args:
        policy: returns the one in force.
        open_requests: returns the requests that are being answered.
    """

    async def guard(request: Request) -> HTTPResponse | None:
        if request.conn_info is None:  # its header could not be read: the answer is an error anyway
            return None
        try:
            return _admit(request, policy(), open_requests)
        except Exception:
            _end_connection_with_unread_body(request)
            raise

    async def mark(request: Request, response: BaseHTTPResponse) -> None:
        cors.add_headers(request, response, policy().cors_origins)

    app.register_middleware(guard, "request", priority=50)
    app.register_middleware(mark, "response")


def is_known(request: Request) -> bool:
    """Return whether the client may see everything: it showed a key, or none is needed."""
    return bool(request.ctx.is_known)


def _admit(
    request: Request, policy: AccessPolicy, open_requests: Callable[[], Iterable[Request]]
) -> HTTPResponse | None:
    _check_host(request, policy)
    cors.check_origin(request, policy.cors_origins)
    if cors.is_preflight(request):
        return cors.preflight_response(request)
    shown = _shown_keys(request)
    request.ctx.key_name = _name_of(shown, policy.keys)
    request.ctx.is_known = not policy.keys or request.ctx.key_name is not None
    if request.ctx.key_name:
        access_log.note(request, key_name=request.ctx.key_name)
    if request.path in _OPEN_PATHS:
        _check_no_body(request)
        return None
    if not request.ctx.is_known:
        raise KeyRefused(is_wrong=bool(shown))
    _check_share(request, open_requests(), policy.max_client_requests)
    return None


def _check_host(request: Request, policy: AccessPolicy) -> None:
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
    if policy.keys:
        return
    name = name_in(headers[0])
    if name is None or not is_own_name(name, reached_at[0], policy.allowed_hosts):
        raise HostRefused(headers[0])


def _shown_keys(request: Request) -> list[str]:
    """Return the keys of all headers that may show one, however often each of them is there."""
    words = [each.strip().partition(" ") for each in request.headers.getall("authorization", [])]
    shown = [token for scheme, _, token in words if scheme.lower() == _SCHEME]
    shown += request.headers.getall("x-api-key", [])
    return [key.strip() for key in shown if key.strip()]


def _name_of(shown: list[str], keys: ApiKeys) -> str | None:
    """Return the name of the first key that is shown; None where one of them is not known."""
    names = [keys.name_of(key) for key in shown]
    return names[0] if names and None not in names else None


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
