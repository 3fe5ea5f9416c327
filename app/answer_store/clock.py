"""Owns the time by which answers get old: that of a device whose clock may be set while it runs.

A device without a battery for its clock starts in the past and is set by the network later: what
was kept before that is not old because of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

_TOLERANCE_S = 600.0


class UseClock:
    """The time of use; it never goes back.

    Args:
        newest_s: the latest time in the file.
        wall_s: returns the time of day.
        running_s: returns a time that is never set.
    """

    def __init__(
        self,
        newest_s: float,
        wall_s: Callable[[], float] | None = None,
        running_s: Callable[[], float] | None = None,
    ) -> None:
        self._wall_s = wall_s or time.time
        self._running_s = running_s or (lambda: time.clock_gettime(time.CLOCK_BOOTTIME))
        self._offset_s = max(self._wall_s(), newest_s) - self._running_s()

    def now_s(self) -> float:
        """Return the time."""
        return self._offset_s + self._running_s()

    def jump_s(self) -> float:
        """Return how far the clock was set forward since it was last followed; 0 if it was not."""
        ahead_s = self._wall_s() - self.now_s()
        return ahead_s if ahead_s > _TOLERANCE_S else 0.0

    def follow(self, jump_s: float) -> None:
        """Go on from where the clock was set to."""
        self._offset_s += jump_s
