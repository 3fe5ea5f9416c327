"""Owns the timer that tells when nothing has happened for a while; costs nothing while it does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class IdleTimer:
    """Calls back after every `idle_s` seconds without a `reset`.

    A `reset` only notes the time. The one timer that there is finds out when it fires; setting
    a timer for every event would cost more than the event.

    Args:
        idle_s: seconds of silence.
        on_silence: called in the event loop.
    """

    def __init__(self, idle_s: float, on_silence: Callable[[], None]) -> None:
        self._idle_s = idle_s
        self._on_silence = on_silence
        self._loop = asyncio.get_running_loop()
        self._heard_s = self._loop.time()
        self._timer = self._loop.call_later(idle_s, self._fire)

    def reset(self) -> None:
        """Note that something happened."""
        self._heard_s = self._loop.time()

    def close(self) -> None:
        """Call back no more."""
        self._timer.cancel()

    def _fire(self) -> None:
        now_s = self._loop.time()
        if now_s - self._heard_s >= self._idle_s:
            self._heard_s = now_s
            self._on_silence()
        self._timer = self._loop.call_at(self._heard_s + self._idle_s, self._fire)
