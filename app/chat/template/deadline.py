"""Owns cutting off a computation that runs too long; must not know what it computes."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import TypeVar

T = TypeVar("T")

_REPEAT_S = 0.05  # an exception raised inside a callback may be lost: raise it again


class DeadlinePassed(BaseException):
    """The time is up. No `Exception`, so that the code cut off cannot swallow it."""


def run_with_deadline(work: Callable[[], T], deadline_s: float) -> T:
    """Return `work()`, or raise after `deadline_s` seconds.

    Works in the main thread only, by SIGALRM; the handler and timer found there are put back.
    In any other thread there is no deadline. One call into C that never returns to the
    interpreter is not cut off either: against that, the process itself must be watched.

    Raises:
        DeadlinePassed: `work` took longer.
    """
    if threading.current_thread() is not threading.main_thread():
        return work()
    armed = True

    def on_alarm(_signal: int, _frame: FrameType | None) -> None:
        if armed:
            raise DeadlinePassed

    former_handler = signal.signal(signal.SIGALRM, on_alarm)
    former_delay_s, former_interval_s = signal.setitimer(signal.ITIMER_REAL, deadline_s, _REPEAT_S)
    spent_s = deadline_s
    try:
        return work()
    except DeadlinePassed:
        armed = False
        raise
    finally:
        try:
            armed = False
        finally:
            left_s, interval_s = signal.setitimer(signal.ITIMER_REAL, 0)
            spent_s = max(0.0, deadline_s - left_s) if interval_s else deadline_s
            signal.signal(signal.SIGALRM, former_handler)
            if former_delay_s:
                rest_s = max(former_delay_s - spent_s, 0.001)
                signal.setitimer(signal.ITIMER_REAL, rest_s, former_interval_s)
