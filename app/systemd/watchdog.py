"""Owns the judgement whether the supervisor still does its work; changes nothing.

An engine that hangs or dies is the supervisor's to repair. Only where it does not, although it
had the time, is the whole service in need of a new start.
"""

from __future__ import annotations

import time

from app.host.supervisor import Supervisor

# A hung engine is ended within a second and its end is known within another.
_REPAIR_S = 15.0


class SupervisorHealth:
    """Says what is wrong with a supervisor, once it has been wrong for long enough.

    Args:
        supervisor: the one to be watched.
        repair_s: seconds that a repair may take to begin.
    """

    def __init__(self, supervisor: Supervisor, repair_s: float = _REPAIR_S) -> None:
        self._supervisor = supervisor
        self._repair_s = repair_s
        self._since_s: float | None = None

    def trouble(self) -> str:
        """Return what nobody repairs, in words; empty when all is well or being repaired."""
        trouble = self._trouble_now()
        now_s = time.monotonic()
        if not trouble:
            self._since_s = None
        elif self._since_s is None:
            self._since_s = now_s
        return trouble if self._since_s and now_s - self._since_s >= self._repair_s else ""

    def _trouble_now(self) -> str:
        supervisor = self._supervisor
        status, serving = supervisor.status.name, supervisor.serving
        if status in ("loading", "restarting") and not supervisor.is_busy:
            return f"the service says '{status}' and nothing is being done about it"
        if status != "ok" or serving is None:
            return ""
        if not serving.engine.is_alive:
            return "the engine has ended and nobody noticed"
        if serving.engine.is_hung:
            return f"the engine has been silent for {serving.engine.stalled_s:.0f} s over its work"
        return ""
