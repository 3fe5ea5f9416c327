"""Owns what systemd is told while the service runs: readiness, progress, signs of life.

It must not know sockets (`app.systemd.notify`) and decides nothing about the service.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from app.background_tasks import start_task
from app.host.supervisor import Supervisor
from app.logs import get_logger
from app.systemd.notify import ServiceManager
from app.systemd.watchdog import SupervisorHealth

_LOOK_EVERY_S = 0.25
_LOOK_EVERY_S_WHEN_READY = 1.0
# An engine that says nothing for so long while it loads gets no more time from systemd.
_PATIENCE_S = 60.0

log = get_logger("systemd")


class SystemdStatus:
    """Tells systemd how the service is.

    `READY=1` comes when the first model serves: loaded, its profiles restored, a token computed.
    It comes too when there is none to be had (no file, a broken one): HTTP answers and says so,
    and starting the service anew would not mend the file.

    Args:
        manager: systemd, or nobody.
        supervisor: what is looked at.
        liveness: says whether systemd should better start the service anew.
    """

    def __init__(
        self, manager: ServiceManager, supervisor: Supervisor, health: SupervisorHealth
    ) -> None:
        self._manager = manager
        self._supervisor = supervisor
        self._health = health
        self._telling: asyncio.Task[None] | None = None
        self._feeding: asyncio.Task[None] | None = None
        self._is_ready = False
        self._told = ""
        self._extended_s = 0.0
        self._trouble = ""

    def start(self) -> None:
        """Begin to tell; costs nothing where nobody listens."""
        if not self._manager.address:
            return
        self._telling = start_task(self._tell_status())
        if self._manager.watchdog_s:
            self._feeding = start_task(self._feed_watchdog(self._manager.watchdog_s))

    def stopping(self) -> None:
        """Say that the service ends; the watchdog is fed as long as the event loop turns."""
        self._manager.notify(STOPPING=1, STATUS="Finishing open requests and saving prompts")
        if self._telling:
            self._telling.cancel()

    @contextmanager
    def reloading(self) -> Iterator[None]:
        """Say that settings are read again, and in the end that this is over."""
        if self._is_ready:
            self._manager.reloading()
        try:
            yield
        finally:
            if self._is_ready:
                self._manager.notify(READY=1)

    # ------------------------------------------------------------ status

    async def _tell_status(self) -> None:
        while True:
            self._tell()
            await asyncio.sleep(_LOOK_EVERY_S_WHEN_READY if self._is_ready else _LOOK_EVERY_S)

    def _tell(self) -> None:
        status = self._supervisor.status.name
        words = describe(self._supervisor)
        news: dict[str, str | int] = {}
        if not self._is_ready and status not in ("loading", "stopping"):
            news["READY"] = 1
        elif not self._is_ready and self._has_progress():
            news["EXTEND_TIMEOUT_USEC"] = int(_PATIENCE_S * 1e6)
        if words != self._told:
            news["STATUS"] = words
        if news and self._manager.notify(**news):  # what did not get through is told again
            self._told = words
            self._is_ready = self._is_ready or "READY" in news

    def _has_progress(self) -> bool:
        """Return whether the engine has said something since this was asked last."""
        last_event_s = self._supervisor.last_event_s or 0.0
        has_news = last_event_s > self._extended_s
        self._extended_s = last_event_s
        return has_news

    # ------------------------------------------------------------ watchdog

    async def _feed_watchdog(self, watchdog_s: float) -> None:
        """Show that the event loop turns, as long as the supervisor does its work."""
        while True:
            trouble = self._health.trouble()
            if not trouble:
                self._manager.notify(WATCHDOG=1)
            elif trouble != self._trouble:
                log.error("watchdog_not_fed", reason=trouble)
            self._trouble = trouble
            await asyncio.sleep(watchdog_s / 2)


def describe(supervisor: Supervisor) -> str:
    """Return in a line how the service is, as `systemctl status` shows it."""
    status, serving = supervisor.status, supervisor.serving
    if status.name == "ok" and serving:
        ready = [profile for profile in serving.profiles if profile.state == "ready"]
        wanted = [profile for profile in serving.profiles if profile.state != "other_model"]
        profiles = f", {len(ready)} of {len(wanted)} profiles ready" if wanted else ""
        return f"Serving {serving.name}, context of {serving.info.n_ctx} tokens{profiles}"
    fraction = supervisor.load_fraction
    if fraction is not None and fraction < 1.0:
        return f"{status.message} ({fraction:.0%})"
    return status.message
