"""Owns unpacking compressed request bodies; must not know what is in them.

The limit on bodies holds for what comes out, and nothing more than that is ever unpacked.
"""

from __future__ import annotations

import zlib

from sanic import Request
from sanic.exceptions import PayloadTooLarge, SanicException

from app.errors import InvalidRequest

ACCEPTED = "gzip, deflate"
_FORMATS = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
_MAX_RATIO = 200  # JSON that people write is packed to a tenth, rarely to a fiftieth
_FREE_BYTES = 1024 * 1024  # that much may come out of anything
_MAX_MEMBERS = 64


class Unpacker:
    """Unpacks a body piece by piece.

    Args:
        coding: `gzip`, or `deflate`, with or without the wrapping of zlib.
        max_bytes: what may come out.
    """

    def __init__(self, coding: str, max_bytes: int) -> None:
        self._coding = coding
        self._max_bytes = max_bytes
        self._inflater = zlib.decompressobj(_FORMATS[coding])
        self._head = b""
        self._n_members = 0
        self._n_packed = 0
        self._body = bytearray()

    def feed(self, data: bytes) -> None:
        """Take a piece of the packed body.

        Raises:
            InvalidRequest: it is corrupt.
            PayloadTooLarge: more comes out than a body may have.
        """
        self._n_packed += len(data)
        if self._coding == "deflate" and self._n_packed - len(data) < 2:
            self._head += data
            if len(self._head) < 2:
                return
            data, self._head = self._head, b""
            if not _has_zlib_header(data):
                self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        while data:
            data = self._unpack(data)

    def _unpack(self, data: bytes) -> bytes:
        """Unpack up to the end of a gzip member; return what follows it."""
        if self._inflater.eof:
            self._next_member()
        try:
            self._body += self._inflater.decompress(data, self._max_bytes + 1 - len(self._body))
        except zlib.error as error:
            raise self._corrupt(str(error)) from None
        if len(self._body) > self._max_bytes:
            raise PayloadTooLarge("Request body exceeds the size limit")
        if len(self._body) > max(_FREE_BYTES, _MAX_RATIO * self._n_packed):
            raise self._corrupt(f"it unpacks to more than {_MAX_RATIO} times its size")
        return self._inflater.unused_data

    def _next_member(self) -> None:
        self._n_members += 1
        if self._coding == "deflate" or self._n_members > _MAX_MEMBERS:
            raise self._corrupt("data follows its end")
        self._inflater = zlib.decompressobj(_FORMATS[self._coding])

    def finish(self) -> bytes:
        """Return the body.

        Raises:
            InvalidRequest: the packed one is cut off.
        """
        if not self._inflater.eof:
            raise self._corrupt("it is cut off")
        return bytes(self._body)

    def _corrupt(self, reason: str) -> InvalidRequest:
        message = f"The request body cannot be unpacked as {self._coding}: {reason}"
        return InvalidRequest(message, param="body", code="invalid_encoding")


def coding_of(request: Request) -> str | None:
    """Return the coding of a request's body; None where it is sent as it is.

    Raises:
        SanicException: a 415; its Accept-Encoding says what is understood (RFC 9110, 15.5.16).
    """
    fields = ",".join(request.headers.getall("content-encoding", []))
    codings = [each for field in fields.split(",") if (each := field.strip().lower())]
    codings = [each for each in codings if each != "identity"]
    if not codings:
        return None
    if len(codings) > 1 or codings[0] not in _FORMATS:
        message = f"Content-Encoding: only one of {ACCEPTED} is supported"
        raise SanicException(message, status_code=415, headers={"Accept-Encoding": ACCEPTED})
    return codings[0]


async def receive_body(request: Request) -> None:
    """Receive a request's body and unpack it.

    Raises:
        SanicException: its coding is not supported, or it is too large.
        InvalidRequest: it is corrupt.
    """
    has_body = request.stream is not None and request.stream.request_body
    coding = coding_of(request) if has_body else None
    if coding is None:
        await request.receive_body()  # type: ignore[no-untyped-call]  # Sanic has no types here
        return
    unpacker = Unpacker(coding, request.app.config.REQUEST_MAX_SIZE)
    async for data in request.stream:  # type: ignore[union-attr]
        unpacker.feed(data)
    request.body = unpacker.finish()


def _has_zlib_header(data: bytes) -> bool:
    return data[0] & 0x0F == 8 and int.from_bytes(data[:2], "big") % 31 == 0
