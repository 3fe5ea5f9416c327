"""Owns the fixes of Sanic's HTTP, which fails on request targets that are not a path."""

from __future__ import annotations

from sanic import Request
from sanic.exceptions import BadURL
from sanic.http import Http
from sanic.server.protocols.http_protocol import HttpProtocol


class _Request(Request):
    @property
    def path(self) -> str:
        """The path; that of `http://host` is the root (RFC 9112, section 3.2.1)."""
        return super().path if self._parsed_url.path else "/"


class _Http(Http):
    def create_empty_request(self) -> None:
        """Create the request that an error is the response to, also for an invalid target."""
        try:
            super().create_empty_request()
        except BadURL:
            self.url = None
            super().create_empty_request()


class Connection(HttpProtocol):
    """An HTTP/1.1 connection."""

    HTTP_CLASS = _Http

    def _setup(self) -> None:
        super()._setup()  # type: ignore[no-untyped-call]  # Sanic has no types here
        self.request_class = _Request
