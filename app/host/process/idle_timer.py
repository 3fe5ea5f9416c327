"""Owns the timer that fires after a period without events."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class IdleTimer:
    """Calls `on_idle` after every `idle_s` seconds without a `reset`.

    `reset` only records the time; the single timer reschedules itself when it fires. Rescheduling
    for every event would cost more than handling the event.

    Args:
        idle_s: seconds without a reset.
        on_idle: called in the event loop.
    """

    def __init__(self, idle_s: float, on_idle: Callable[[], None]) -> None:
        self._idle_s = idle_s
        self._on_idle = on_idle
        self._loop = asyncio.get_running_loop()
        self._last_reset_s = self._loop.time()
        self._timer = self._loop.call_later(idle_s, self._fire)

    def reset(self) -> None:
        """Restart the idle period."""
        self._last_reset_s = self._loop.time()

    def close(self) -> None:
        """Stop the timer."""
        self._timer.cancel()

    def _fire(self) -> None:
        now_s = self._loop.time()
        if now_s - self._last_reset_s >= self._idle_s:
            self._last_reset_s = now_s
            self._on_idle()
        self._timer = self._loop.call_at(self._last_reset_s + self._idle_s, self._fire)
