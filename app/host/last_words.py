"""Owns what an engine process prints itself: a failed assertion of llama.cpp, a traceback."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import IO, Any

from app.logs import get_logger

_KEPT_LINES = 12
_READ_BYTES = 64 * 1024

log = get_logger("engine")


class LastWords:
    """Puts the process's stderr into the log, line by line, and keeps the last lines.

    Args:
        about: returns what is bound to each line, such as the requests in flight.
    """

    def __init__(self, about: Callable[[], Mapping[str, Any]]) -> None:
        self._about = about
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)

    @property
    def last(self) -> str | None:
        """The last line so far."""
        return self._lines[-1] if self._lines else None

    async def watch(self, stderr: IO[bytes] | None) -> None:
        """Read until the process ends."""
        stream = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(stream), stderr
        )
        held = b""
        while data := await stream.read(_READ_BYTES):
            *lines, held = (held + data).split(b"\n")
            if len(held) > _READ_BYTES:
                lines, held = [*lines, held], b""
            for line in lines:
                self._take(line)
        self._take(held)
        transport.close()

    def _take(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace").rstrip()
        if text:
            self._lines.append(text)
            log.warning("engine_stderr", text=text, **self._about())
