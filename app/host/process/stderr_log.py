"""Owns what an engine process prints itself: a failed assertion of llama.cpp, a traceback."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import deque
from collections.abc import Callable, Mapping
from typing import IO, Any

from app.logs import get_logger

_KEPT_LINES = 12
_READ_BYTES = 64 * 1024
_PAUSE_S = 0.05

log = get_logger("engine")


class StderrLog:
    """Puts the process's stderr into the log, a traceback as one line, and keeps the end of it.

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
        while data := await _burst(stream):
            said, line_break, held = (held + data).rpartition(b"\n")
            if len(held) > _READ_BYTES:
                said, held = said + line_break + held, b""
            self._take(said)
        self._take(held)
        transport.close()

    def _take(self, said: bytes) -> None:
        lines = [line.rstrip() for line in said.decode("utf-8", "replace").splitlines()]
        self._lines.extend(line for line in lines if line)
        text = "\n".join(lines).strip("\n")
        if text:
            log.warning("engine_stderr", text=text, **self._about())


async def _burst(stream: asyncio.StreamReader) -> bytes:
    """Return what comes without a pause, as the lines of a traceback do; empty at the end."""
    data = await stream.read(_READ_BYTES)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_PAUSE_S):
            while len(data) < _READ_BYTES and (more := await stream.read(_READ_BYTES)):
                data += more
    return data


async def process_ended(pid: int) -> None:
    """Wait until a child process has ended; it still has to be waited for."""
    descriptor = os.pidfd_open(pid)
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
