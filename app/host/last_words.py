"""Owns what an engine process prints, and the sentence on how it ended."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import deque
from typing import IO

from app.logs import get_logger

_KEPT_LINES = 12
_READ_BYTES = 64 * 1024

log = get_logger("engine")


class LastWords:
    """The last lines of a process (llama.cpp's last words, tracebacks); all go into the log.

    Args:
        pid: the process, named in each log line.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)

    async def watch(self, pipe: IO[bytes] | None) -> None:
        """Take lines until the other end is closed."""
        if pipe is None:
            return
        stream = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(stream), pipe
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
            log.warning("engine_stderr", text=text, pid=self._pid)

    def exit_reason(self, code: int) -> str:
        """Return how the process ended, given what `Popen.wait` said."""
        how = f"exit status {code}" if code >= 0 else f"signal {_signal_name(-code)}"
        return f"{how}; last words: {self._lines[-1]}" if self._lines else how


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


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
