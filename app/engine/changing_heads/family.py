"""Owns when the changes of a head are worth telling, and when they have ended; pure policy."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from app.engine.changing_heads.value_kind import ValueKind

MIN_VALUES = 3  # changes to something that is recognised as a value
MIN_TEXTS = 5  # changes to other words at one place: somebody may be editing them
CALM_REQUESTS = 8  # without a change, after which it has ended
_MAX_CHANGES = 12
_SAME_PLACE = 4  # tokens: values may begin with the same one
_WITHIN_S = 24 * 3600.0  # in which a date changes once
_TELL_AGAIN_S = 3600.0


@dataclass(frozen=True, slots=True)
class Change:
    """How a head differed from the one before.

    Args:
        at_s: when.
        start: the first token that differed.
        n_behind: tokens of the head behind the first place.
        n_places: how many places differed.
        n_again: tokens that were prefilled again over it.
        kind: what changed at the first place.
        before: the words before that.
        value: what is there now.
    """

    at_s: float
    start: int
    n_behind: int
    n_places: int
    n_again: int
    kind: ValueKind
    before: str
    value: str

    def is_beside(self, other: Change) -> bool:
        """Whether both are at one place, counted from the beginning or from the end."""
        starts_there = abs(self.start - other.start) <= _SAME_PLACE
        return starts_there or abs(self.n_behind - other.n_behind) <= _SAME_PLACE


@dataclass(slots=True, eq=False)
class HeadFamily:
    """Heads that are the same but for some places.

    Args:
        has_system: whether they are instructions and tools; else they are whole prompts, and only
            values count: that questions differ is no fault.
        changes: the latest ones.
        n_calm: requests since the last one.
    """

    has_system: bool
    changes: deque[Change] = field(default_factory=lambda: deque(maxlen=_MAX_CHANGES))
    n_calm: int = 0
    _told_s: float | None = None

    def changed(self, change: Change) -> None:
        """Take in a change."""
        self.changes.append(change)
        self.n_calm = 0

    def unchanged(self) -> None:
        """Take in a request whose head was that of the latest one."""
        self._calm_down(1)

    def returned(self) -> None:
        """Take in an earlier head: of several that stay as they are, each returns."""
        self._calm_down(CALM_REQUESTS // 2)

    def _calm_down(self, n_requests: int) -> None:
        self.n_calm += n_requests
        if self.n_calm >= CALM_REQUESTS:
            self.changes.clear()

    def telling(self, now_s: float) -> list[Change]:
        """Return the changes that are worth telling; none where they are too few or too rare."""
        recent = [change for change in self.changes if now_s - change.at_s < _WITHIN_S]
        values = [change for change in recent if change.kind != "text"]
        if len(values) >= MIN_VALUES:
            return values
        if self.has_system:
            for change in reversed(recent):
                beside = [other for other in recent if other.is_beside(change)]
                if len(beside) >= MIN_TEXTS:
                    return beside
        return []

    def may_log(self, now_s: float) -> bool:
        """Whether it is long enough since the last line of the log on it; there is one now."""
        if self._told_s is not None and now_s - self._told_s < _TELL_AGAIN_S:
            return False
        self._told_s = now_s
        return True
