"""Owns the fixes of Sanic's HTTP: targets that are no path, HTTP/1.0, HEAD of a stream."""

from __future__ import annotations

from sanic import Request
from sanic.exceptions import BadRequest, BadURL
from sanic.headers import format_http1_response
from sanic.http import Http
from sanic.http.constants import Stage
from sanic.response import BaseHTTPResponse
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

    async def http1_request_header(self) -> None:
        """Receive a request header; HTTP/1.0 has neither chunks nor `100 Continue`.

        Raises:
            BadRequest: a body in chunks, which HTTP/1.0 cannot frame (RFC 9112, section 6.1).
        """
        await super().http1_request_header()  # type: ignore[no-untyped-call]
        if self.request.version != "1.0":
            return
        self.expecting_continue = False
        if "transfer-encoding" in self.request.headers:
            self.request_body = None  # nobody knows where it ends
            self.keep_alive = False
            raise BadRequest("HTTP/1.0 has no Transfer-Encoding")

    async def http1_response_header(self, data: bytes, end_stream: bool) -> None:
        """Send the header and first data of a response.

        To HTTP/1.0 a response of unknown length is sent without frames, and ends with the
        connection.
        """
        response: BaseHTTPResponse = self.response
        is_whole = end_stream or bool(response.body) or "content-length" in response.headers
        if is_whole or self.request.version != "1.0":
            await super().http1_response_header(data, end_stream)
            return
        self.keep_alive = False
        response.headers["connection"] = "close"
        header = format_http1_response(response.status, response.processed_headers)
        self.response_func = self._send_unframed
        self.stage = Stage.RESPONSE
        await self._send(header)
        await self._send_unframed(data, end_stream)

    async def head_response_ignored(  # type: ignore[override]  # Sanic awaits it
        self, data: bytes, end_stream: bool
    ) -> None:
        """Send nothing of the body of a response to HEAD."""
        super().head_response_ignored(data, end_stream)

    async def _send_unframed(self, data: bytes, end_stream: bool) -> None:
        if data and not self.head_only:
            await self._send(data)
        if end_stream:
            self.response_func = None  # type: ignore[assignment]  # as Sanic itself does
            self.stage = Stage.IDLE


class Connection(HttpProtocol):
    """A connection of HTTP/1.1 or HTTP/1.0."""

    HTTP_CLASS = _Http

    def _setup(self) -> None:
        super()._setup()  # type: ignore[no-untyped-call]  # Sanic has no types here
        self.request_class = _Request
