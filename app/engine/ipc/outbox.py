"""Owns when events leave for the HTTP process; must not know what they mean."""

from __future__ import annotations

import time

from app.engine.ipc.channel import Channel
from app.protocol import Event


class Outbox:
    """Holds events back for a moment, so that several leave in one write.

    Waking the HTTP process and the client for every token takes the processors away from
    llama.cpp; at more than 50 tokens a second nobody reads that fast.

    Args:
        channel: the way to the HTTP process.
        interval_s: seconds between two flushes of events that are not urgent.
    """

    def __init__(self, channel: Channel, interval_s: float = 0.0) -> None:
        self._channel = channel
        self._interval_s = interval_s
        self._is_urgent = False
        self._flushed_s = 0.0

    def post(self, event: Event) -> None:
        """Add an event to the next flush."""
        self._channel.post(event)

    def expedite(self) -> None:
        """Make the next flush due at once."""
        self._is_urgent = True

    @property
    def is_due(self) -> bool:
        """Whether it is time to flush."""
        return self._is_urgent or time.monotonic() - self._flushed_s >= self._interval_s

    def flush(self) -> None:
        """Send the events.

        Raises:
            ChannelClosed: the HTTP process is gone.
        """
        self._flushed_s = time.monotonic()
        self._is_urgent = False
        self._channel.flush()
