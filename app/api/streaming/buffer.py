"""Owns the latest bytes of a streamed answer, for readers that come and go; no I/O."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from app.errors import InvalidRequest

MAX_BYTES = 4 * 1024 * 1024
_MAX_READ_BYTES = 64 * 1024


class OffsetGone(InvalidRequest):
    """The bytes at an offset are no longer held."""

    code = "stream_offset_gone"


class StreamBuffer:
    """The bytes of one answer: an `Output` that any number of readers follow.

    Args:
        max_bytes: how many are held; the first ones go.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._held = bytearray()
        self._news = asyncio.Event()
        self.start = 0
        self.has_ended = False
        self.error: Exception | None = None

    @property
    def end_offset(self) -> int:
        """The number of bytes written so far."""
        return self.start + len(self._held)

    @property
    def held(self) -> bytes:
        """The bytes that are held."""
        return bytes(self._held)

    @property
    def has_begun(self) -> bool:
        """Whether anything was written."""
        return self.end_offset > 0

    async def write(self, data: bytes) -> None:
        """Append some bytes."""
        self._held += data
        if (surplus := len(self._held) - self._max_bytes) > 0:
            del self._held[:surplus]
            self.start += surplus
        self._tell()

    async def end(self) -> None:
        """End the answer."""
        self.stop()

    def close(self) -> None:
        """Do nothing: the readers watch their own connections."""

    def stop(self, error: Exception | None = None) -> None:
        """End the answer as it is; readers that have got nothing of it get the error."""
        if not self.has_ended:
            self.has_ended, self.error = True, error
            self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    async def begun(self) -> None:
        """Wait until something was written.

        Raises:
            Exception: what the answer failed with before its first byte.
        """
        while not self.has_begun and not self.has_ended:
            await self._news.wait()
        if self.error is not None and not self.has_begun:
            raise self.error

    def check(self, offset: int) -> None:
        """Check that a reader can begin at an offset.

        Raises:
            OffsetGone: the bytes there are no longer held.
            InvalidRequest: the answer has not got so far.
        """
        if offset < self.start:
            raise OffsetGone(
                f"The stream is held from byte {self.start} on, not from {offset}; ask again",
                param="from",
            )
        if offset > self.end_offset:
            raise InvalidRequest(
                f"The stream has {self.end_offset} bytes so far, not {offset}", param="from"
            )

    async def read(self, offset: int) -> AsyncIterator[bytes]:
        """Yield the bytes from an offset on, as they arrive, up to the end of the answer.

        Raises:
            OffsetGone: the reader is slower than the answer, and bytes went that it lacks.
            Exception: what the answer failed with before its first byte.
        """
        while True:
            self.check(offset)
            at = offset - self.start
            if data := bytes(self._held[at : at + _MAX_READ_BYTES]):
                offset += len(data)
                yield data
            elif self.has_ended:
                if self.error is not None and not self.has_begun:
                    raise self.error
                return
            else:
                await self._news.wait()
