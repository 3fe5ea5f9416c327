"""Owns what is known of a disk that fails: since when, why, and when to try again."""

from __future__ import annotations

from collections.abc import Callable
from errno import EACCES, EDQUOT, ENOSPC, EPERM, EROFS

RETRY_AFTER_S = 30.0

_WHAT = {
    ENOSPC: "the disk is full",
    EDQUOT: "the disk quota is used up",
    EROFS: "the disk is read-only",
    EACCES: "the folder may not be written",
    EPERM: "the folder may not be written",
}


class WriteErrors:
    """A time in which writes fail.

    Args:
        notify: gets a level and a sentence when it begins and when it is over.
        clock: seconds since the epoch.
    """

    def __init__(self, notify: Callable[[str, str], None], clock: Callable[[], float]) -> None:
        self._notify = notify
        self._clock = clock
        self._failed_s = 0.0
        self.write_error = ""

    def may_try(self) -> bool:
        """Whether a write is worth trying; a clock that was set back does not matter."""
        return not self.write_error or not 0 <= self._clock() - self._failed_s < RETRY_AFTER_S

    def begin(self, error: OSError) -> None:
        """Note that a write failed."""
        is_new = not self.write_error
        self._failed_s = self._clock()
        what = _WHAT.get(error.errno or 0, error.strerror or str(error))
        self.write_error = f"The prompt cache cannot be written: {what}."
        if is_new:
            where = f" ({error.filename})" if error.filename else ""
            self._notify("warning", self.write_error[:-1] + where + "; tried again every 30 s.")

    def end(self) -> None:
        """Note that a write succeeded."""
        if self.write_error:
            self.write_error = ""
            self._notify("info", "The prompt cache can be written again.")
