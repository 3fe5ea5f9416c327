"""Owns when something that comes and goes has begun and has ended; must not know what it is."""

from __future__ import annotations


class Episode:
    """Something that comes and goes, and flickers in between.

    Args:
        calm_s: how long it must be away to count as over.
    """

    def __init__(self, calm_s: float) -> None:
        self._calm_s = calm_s
        self._seen_s = 0.0
        self.since_s: float | None = None

    def update(self, now_s: float, *, is_there: bool) -> bool:
        """Take what was seen; return whether it has begun or ended with that."""
        if is_there:
            self._seen_s = now_s
            has_begun = self.since_s is None
            self.since_s = now_s if has_begun else self.since_s
            return has_begun
        if self.since_s is None or now_s - self._seen_s < self._calm_s:
            return False
        self.since_s = None
        return True
