"""Owns the start and end of a condition that flickers; must not know what the condition is."""

from __future__ import annotations


class Episode:
    """A condition with hysteresis: it starts at once and ends after a quiet period.

    Args:
        clear_after_s: seconds without the condition after which it has ended.

    Attributes:
        since_s: when it started; None while it is not active.
    """

    def __init__(self, clear_after_s: float) -> None:
        self._clear_after_s = clear_after_s
        self._last_active_s = 0.0
        self.since_s: float | None = None

    def update(self, now_s: float, *, is_active: bool) -> bool:
        """Record an observation; return whether the condition has started or ended with it."""
        if is_active:
            self._last_active_s = now_s
            has_started = self.since_s is None
            self.since_s = now_s if has_started else self.since_s
            return has_started
        if self.since_s is None or now_s - self._last_active_s < self._clear_after_s:
            return False
        self.since_s = None
        return True
