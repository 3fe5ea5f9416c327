"""Owns how long to wait before an engine is started again; pure."""

from __future__ import annotations

_FIRST_S = 0.5
_LONGEST_S = 30.0
_HOPELESS_AFTER = 3


class Backoff:
    """No wait after an engine that did its work; a longer one after each that did not."""

    def __init__(self) -> None:
        self._next_s = 0.0
        self._n_failed = 0

    @property
    def is_hopeless(self) -> bool:
        """Whether so many starts have failed that nobody should wait for the next."""
        return self._n_failed >= _HOPELESS_AFTER

    def worked(self) -> None:
        """The last engine did what it was there for."""
        self._next_s = 0.0

    def started(self) -> None:
        """A model serves."""
        self._n_failed = 0

    def failed(self) -> None:
        """A start has failed."""
        self._n_failed += 1

    def take_s(self) -> float:
        """Return the seconds to wait before the next start."""
        wait_s = self._next_s
        self._next_s = min(_LONGEST_S, max(_FIRST_S, 2.0 * wait_s))
        return wait_s
