"""Owns where Sanic's HTTP ends in a traceback: targets that are no path of a server.

It must not know what is asked or answered, nor how many connections there are.
"""

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
        """Make what an error is answered to, also where the target is no URL at all."""
        try:
            super().create_empty_request()
        except BadURL:
            self.url = None
            super().create_empty_request()


class Connection(HttpProtocol):
    """A connection on which HTTP 1.1 is spoken."""

    HTTP_CLASS = _Http

    def _setup(self) -> None:
        super()._setup()  # type: ignore[no-untyped-call]  # Sanic has no types here
        self.request_class = _Request
