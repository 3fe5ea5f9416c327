"""Owns what of llama.cpp's log lines reaches the service's log."""

from __future__ import annotations

from collections.abc import Callable

from app.engine.ipc.channel import Channel
from app.protocol import LogLine

# what llama.cpp prints as errors where the loop makes room and tries again, or gave a step up
_EXPECTED = (
    "failed to find a memory slot",
    "available cells",
    "error loading state",
    "failed to decode, ret = 2",
    "failed to compute graph",
    "graph_compute_async failed",
    "removing memory module entries",
)


class LogRelay:
    """Hands llama.cpp's lines on, with the requests that are worked on.

    Args:
        channel: the way to the service's log.
        verbose: whether all lines are wanted and not only trouble.
    """

    def __init__(self, channel: Channel, *, verbose: bool) -> None:
        self._channel = channel
        self._verbose = verbose
        self.working_on: Callable[[], list[str]] = list

    def take(self, level: str, text: str) -> None:
        """Take a line; `level` is debug, info, warning or error."""
        is_trouble = level in ("warning", "error") and not any(x in text for x in _EXPECTED)
        if self._verbose or is_trouble:
            line = LogLine(
                level=level, source="llama.cpp", text=text, request_ids=self.working_on()
            )
            self._channel.post(line)
