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
    """Forwards llama.cpp's lines, each with the ids of the running requests.

    Args:
        channel: the way to the service's log.
        verbose: whether to forward all lines, and not only warnings and errors.
        request_ids: returns the ids of the running requests.
    """

    def __init__(
        self, channel: Channel, *, verbose: bool, request_ids: Callable[[], list[str]] = list
    ) -> None:
        self._channel = channel
        self._verbose = verbose
        self._request_ids = request_ids

    def take(self, level: str, text: str) -> None:
        """Take a line; `level` is debug, info, warning or error."""
        is_problem = level in ("warning", "error") and not any(x in text for x in _EXPECTED)
        if self._verbose or is_problem:
            line = LogLine(
                level=level, source="llama.cpp", text=text, request_ids=self._request_ids()
            )
            self._channel.post(line)
