"""Owns access control: checks each request before its body is read.

In order: the Host header, the Origin header, the API key, the client's number of open requests.

A key is sent as `Authorization: Bearer KEY` or as `x-api-key: KEY`. If both headers are sent, both
keys must be valid.
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

# Probes: exempt from the key and from the limit on open requests.
_OPEN_PATHS = ("/health", "/v1/health", "/health/live")
_SCHEME = "bearer"
_UNIX_CLIENT = "unix socket"


@dataclass(frozen=True, slots=True)
class AccessPolicy:
    """The access rules; replaced as a whole when the settings are reloaded.

    Args:
        keys: without any, requests need no key, but their Host is checked.
        allowed_hosts: names of this server, besides loopback and the address connected to.
        cors_origins: origins whose web pages may send requests.
        max_client_requests: open requests per client.
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
    """Check every request against the policy, before its body is read.

    Args:
        policy: returns the current one.
        open_requests: returns the requests in progress.
    """

    async def guard(request: Request) -> HTTPResponse | None:
        if request.conn_info is None:  # malformed header: Sanic answers with an error
            return None
        try:
            return _admit(request, policy(), open_requests)
        except Exception:
            _end_connection_with_unread_body(request)
            raise

    async def add_cors_headers(request: Request, response: BaseHTTPResponse) -> None:
        cors.add_headers(request, response, policy().cors_origins)

    app.register_middleware(guard, "request", priority=50)
    app.register_middleware(add_cors_headers, "response")


def is_authenticated(request: Request) -> bool:
    """Return whether the client sent a valid key, or none is required."""
    return bool(request.ctx.is_authenticated)


def owner_of(request: Request) -> str:
    """Return the name of the key that the client sent; empty if none is required."""
    return str(request.ctx.key_name or "")


def _admit(
    request: Request, policy: AccessPolicy, open_requests: Callable[[], Iterable[Request]]
) -> HTTPResponse | None:
    _check_host(request, policy)
    cors.check_origin(request, policy.cors_origins)
    if cors.is_preflight(request):
        return cors.preflight_response(request)
    shown = _sent_keys(request)
    request.ctx.key_name = _name_of(shown, policy.keys)
    request.ctx.is_authenticated = not policy.keys or request.ctx.key_name is not None
    if request.ctx.key_name:
        access_log.note(request, key_name=request.ctx.key_name)
    if request.path in _OPEN_PATHS:
        _check_no_body(request)
        return None
    if not request.ctx.is_authenticated:
        raise KeyRefused(is_wrong=bool(shown))
    _check_open_requests(request, open_requests(), policy.max_client_requests)
    return None


def _check_host(request: Request, policy: AccessPolicy) -> None:
    """Refuse a Host that is not this server's; needed only without keys (DNS rebinding).

    Raises:
        HostRefused: it is not a name of this server.
        BadRequest: the header is missing or repeated.
    """
    reached_at = request.conn_info.sockname if request.conn_info else None
    if not isinstance(reached_at, tuple):  # browsers cannot reach a unix socket
        return
    headers = request.headers.getall("host", [])
    if len(headers) != 1:
        if headers or request.version != "1.0":
            raise BadRequest("A request must have exactly one Host header")
        return  # not a browser
    if policy.keys:
        return
    name = name_in(headers[0])
    if name is None or not is_own_name(name, reached_at[0], policy.allowed_hosts):
        raise HostRefused(headers[0])


def _sent_keys(request: Request) -> list[str]:
    """Return the keys of all headers that may have one, repeated headers included."""
    words = [each.strip().partition(" ") for each in request.headers.getall("authorization", [])]
    sent = [token for scheme, _, token in words if scheme.lower() == _SCHEME]
    sent += request.headers.getall("x-api-key", [])
    return [key.strip() for key in sent if key.strip()]


def _name_of(shown: list[str], keys: ApiKeys) -> str | None:
    """Return the name of the first key; None if any of them is invalid."""
    names = [keys.name_of(key) for key in shown]
    return names[0] if names and None not in names else None


def _check_no_body(request: Request) -> None:
    """Refuse a body on a path without authentication or limits: it would be held in memory.

    Raises:
        BadRequest: the request has one.
    """
    http: Any = request.stream
    if http is not None and (http.request_body == "chunked" or http.request_bytes_left):
        raise BadRequest(f"{request.path} takes no body")


def _check_open_requests(request: Request, open_requests: Iterable[Request], most: int) -> None:
    """Enforce the limit on the open requests of a client.

    A client is identified by its key, else by its address; the unix socket counts as one client.

    Raises:
        TooManyRequests: the limit is reached.
    """
    address = request.conn_info.client_ip if request.conn_info else ""
    client = request.ctx.key_name or address or _UNIX_CLIENT
    if sum(getattr(other.ctx, "client", None) == client for other in open_requests) >= most:
        raise TooManyRequests(most)
    request.ctx.client = client


def _end_connection_with_unread_body(request: Request) -> None:
    http: Any = request.stream
    if http is not None and http.request_body:
        http.keep_alive = False
