"""Owns who may ask, as plain values; `app.web.access_control` holds requests to it."""

from __future__ import annotations

from dataclasses import dataclass, field

from app.web.api_keys import ApiKeys


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
