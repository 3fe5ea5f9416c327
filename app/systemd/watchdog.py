"""Owns systemd's watchdog: the pings, and the health check that they depend on.

The supervisor restarts an engine that hangs or exits. Only if it fails to do so in time does the
whole service need a restart.
"""

from __future__ import annotations

import asyncio
import time

from app.host.supervisor import Supervisor
from app.logs import get_logger
from app.systemd.notify import ServiceManager

# A hung engine is killed within a second, and its exit is noticed within another.
_GRACE_S = 15.0

log = get_logger("systemd")


class SupervisorHealth:
    """Reports a problem of the supervisor once it has lasted for the grace period.

    Args:
        supervisor: the one to check.
        grace_s: seconds in which the supervisor may react.
    """

    def __init__(self, supervisor: Supervisor, grace_s: float = _GRACE_S) -> None:
        self._supervisor = supervisor
        self._grace_s = grace_s
        self._since_s: float | None = None

    def problem(self) -> str:
        """Return the problem as text; empty if there is none or it is being handled."""
        problem = self._current_problem()
        now_s = time.monotonic()
        if not problem:
            self._since_s = None
        elif self._since_s is None:
            self._since_s = now_s
        return problem if self._since_s and now_s - self._since_s >= self._grace_s else ""

    def _current_problem(self) -> str:
        supervisor = self._supervisor
        status, serving = supervisor.status.name, supervisor.serving
        if status in ("loading", "restarting") and not supervisor.is_busy:
            return f"the status is '{status}', but no load or restart is in progress"
        if status != "ok" or serving is None:
            return ""
        if not serving.engine.is_alive:
            return "the engine has exited, but is not being restarted"
        if serving.engine.is_hung:
            return (
                f"the engine has been hung for {serving.engine.stalled_s:.0f} s and was not killed"
            )
        return ""


async def feed_watchdog(manager: ServiceManager, health: SupervisorHealth) -> None:
    """Send `WATCHDOG=1` twice a period while the event loop runs and the supervisor is healthy."""
    last_problem = ""
    while True:
        problem = health.problem()
        if not problem:
            manager.notify(WATCHDOG=1)
        elif problem != last_problem:
            log.error("watchdog_not_fed", reason=problem)
        last_problem = problem
        await asyncio.sleep((manager.watchdog_s or 1.0) / 2)
