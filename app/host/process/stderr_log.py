"""Owns an engine's stderr: assertion failures of llama.cpp, tracebacks."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import deque
from collections.abc import Callable, Mapping
from typing import IO, Any

from app.logs import get_logger

_KEPT_LINES = 12
_READ_BYTES = 64 * 1024
_BURST_GAP_S = 0.05
# what llama.cpp's and C++'s ways to abort print, before a backtrace that may be long
_ABORT = re.compile(r"(?:\S*/)?([\w.-]+\.(?:c|cc|cpp|cu|cuh|h|hpp|m|mm):\d+: .+)|\s*(what\(\): .+)")

log = get_logger("engine")


class StderrLog:
    """Logs the process's stderr, a traceback as one record, and keeps the last lines.

    Args:
        log_fields: returns the fields of each record, such as the requests in flight.
    """

    def __init__(self, log_fields: Callable[[], Mapping[str, Any]]) -> None:
        self._log_fields = log_fields
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._abort_line: str | None = None

    @property
    def last_line(self) -> str | None:
        """The last line that is not empty."""
        return self._lines[-1] if self._lines else None

    @property
    def exit_line(self) -> str | None:
        """The line that says why the process aborted, without its folder; else the last line."""
        return self._abort_line or self.last_line

    async def watch(self, stderr: IO[bytes] | None) -> None:
        """Read until end of file."""
        stream = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(stream), stderr
        )
        partial = b""
        while data := await _read_burst(stream):
            complete, line_break, partial = (partial + data).rpartition(b"\n")
            if len(partial) > _READ_BYTES:
                complete, partial = complete + line_break + partial, b""
            self._log(complete)
        self._log(partial)
        transport.close()

    def _log(self, output: bytes) -> None:
        lines = [line.rstrip() for line in output.decode("utf-8", "replace").splitlines()]
        self._lines.extend(line for line in lines if line)
        for line in lines if self._abort_line is None else ():
            if found := _ABORT.fullmatch(line):
                self._abort_line = found[1] or found[2]
                break
        text = "\n".join(lines).strip("\n")
        if text:
            log.warning("engine_stderr", text=text, **self._log_fields())


async def _read_burst(stream: asyncio.StreamReader) -> bytes:
    """Return what arrives without a gap, as a traceback does; empty at end of file."""
    data = await stream.read(_READ_BYTES)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_BURST_GAP_S):
            while len(data) < _READ_BYTES and (more := await stream.read(_READ_BYTES)):
                data += more
    return data
