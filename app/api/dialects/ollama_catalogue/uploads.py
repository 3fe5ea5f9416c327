"""Owns the endpoints of blobs: files that clients upload before they make models of them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from sanic import HTTPResponse, Request
from sanic.exceptions import NotFound, RequestTimeout, SanicException
from sanic.response import text

from app.api.dialects.ollama_catalogue.changes import refusals
from app.api.service import Service, service_of
from app.errors import InvalidRequest
from app.models.content.blobs import BlobStore
from app.models.content.digests import is_digest
from app.web.content_encoding import coding_of

_PREFIX = "sha256:"
_BLOCK_BYTES = 4 * 1024**2


async def has_blob(request: Request, digest: str) -> HTTPResponse:
    """Return that a file with this digest is here.

    Raises:
        NotFound: it is not.
    """
    digits = hexadecimal(digest, "digest")
    if await asyncio.to_thread(find_blob, service_of(request), digits) is None:
        raise NotFound(f"blob {digest} not found")
    return text("")


async def receive_blob(request: Request, digest: str) -> HTTPResponse:
    """Receive a file; its data goes to the disk as it arrives."""
    http: Any = request.stream
    try:
        _check_plain(request)
        wanted = hexadecimal(digest, "digest")
        if await asyncio.to_thread(find_blob, service_of(request), wanted):
            async for _ in _blocks(request):
                pass
            return text("")
        await _receive(request, wanted)
    except Exception:
        http.keep_alive = False  # what was not read is not a request
        raise
    return text("", status=201)


async def _receive(request: Request, digest: str) -> None:
    store = BlobStore(service_of(request).catalog.models_dir)
    with refusals("digest"):
        upload = await asyncio.to_thread(store.receive, digest, _size_bytes(request))
        try:
            async for block in _blocks(request):
                await asyncio.to_thread(upload.write, block)
            await asyncio.to_thread(upload.finish)
        finally:  # a slow disk may hold it, and removing a large file takes time
            await asyncio.shield(asyncio.to_thread(upload.close))


async def _blocks(request: Request) -> AsyncIterator[bytes]:
    """Yield the body in large blocks.

    Raises:
        RequestTimeout: the client sends nothing.
    """
    http: Any = request.stream
    http.request_max_size = sys.maxsize  # the disk's space is the limit
    block = bytearray()
    while True:
        try:
            async with asyncio.timeout(request.app.config.REQUEST_TIMEOUT):
                data = await http.read() if http.request_body else None
        except TimeoutError:
            raise RequestTimeout("The request body did not arrive in time") from None
        if not data:
            break
        block += data
        if len(block) >= _BLOCK_BYTES:
            yield bytes(block)
            block.clear()
    if block:
        yield bytes(block)


def find_blob(service: Service, digest: str) -> Path | None:
    """Return a file with this digest: an upload, or a model whose digest is known."""
    if upload := BlobStore(service.catalog.models_dir).find(digest):
        return upload
    files = service.catalog.files()
    return next((f.path for f in files if service.digests.knows(f.path, digest)), None)


def hexadecimal(digest: str, param: str) -> str:
    """Return the digits of a digest.

    Raises:
        InvalidRequest: it is not a SHA-256 digest.
    """
    digits = digest.removeprefix(_PREFIX)
    if digits == digest or not is_digest(digits):
        raise InvalidRequest("invalid digest format, expected sha256:<64 hex digits>", param=param)
    return digits


def _check_plain(request: Request) -> None:
    http: Any = request.stream
    if not http.request_body:
        raise InvalidRequest("missing request body", param="body")
    if coding_of(request) is not None:
        message = "Content-Encoding is not supported for blobs"
        raise SanicException(message, status_code=415)


def _size_bytes(request: Request) -> int | None:
    stated = request.headers.get("content-length", "")
    return int(stated) if stated.isdecimal() else None
