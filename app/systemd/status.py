"""Owns the notifications to systemd: readiness, status, start timeout.

It must not know sockets (`app.systemd.notify`) and changes nothing in the service.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from app.background_tasks import start_task
from app.host.supervisor import Supervisor
from app.logs import get_logger
from app.systemd.notify import ServiceManager
from app.systemd.watchdog import SupervisorHealth, feed_watchdog

_START_INTERVAL_S = 0.25
_READY_INTERVAL_S = 1.0
# A load that makes no progress for this long runs into systemd's start timeout.
_TIMEOUT_EXTENSION_S = 60.0

log = get_logger("systemd")


class SystemdStatus:
    """Notifies systemd of the service's state.

    `READY=1` is sent when the initial model serves: loaded, profiles restored, a token computed. It
    is also sent when no model can be loaded (no file, a damaged one): HTTP answers with the
    reason, and a restart of the service would not repair the file.

    Args:
        manager: systemd.
        supervisor: the source of the state.
        health: decides whether the watchdog is fed.
    """

    def __init__(
        self, manager: ServiceManager, supervisor: Supervisor, health: SupervisorHealth
    ) -> None:
        self._manager = manager
        self._supervisor = supervisor
        self._health = health
        self._status_task: asyncio.Task[None] | None = None
        self._watchdog_task: asyncio.Task[None] | None = None
        self._is_ready = False
        self._last_status = ""
        self._last_extension_s = 0.0

    def start(self) -> None:
        """Start the notifications; does nothing without a notification socket."""
        if not self._manager.address:
            return
        self._status_task = start_task(self._update_status())
        if self._manager.watchdog_s:
            self._watchdog_task = start_task(feed_watchdog(self._manager, self._health))

    def stopping(self) -> None:
        """Send `STOPPING=1`; the watchdog is fed as long as the event loop runs."""
        self._manager.notify(STOPPING=1, STATUS="Finishing open requests and saving prompts")
        if self._status_task:
            self._status_task.cancel()

    @contextmanager
    def reloading(self) -> Iterator[None]:
        """Bracket a reload with `RELOADING=1` and `READY=1`."""
        if self._is_ready:
            self._manager.reloading()
        try:
            yield
        finally:
            if self._is_ready:
                self._manager.notify(READY=1)

    # ------------------------------------------------------------ status

    async def _update_status(self) -> None:
        while True:
            self._notify()
            await asyncio.sleep(_READY_INTERVAL_S if self._is_ready else _START_INTERVAL_S)

    def _notify(self) -> None:
        status = self._supervisor.status.name
        text = describe(self._supervisor)
        assignments: dict[str, str | int] = {}
        if not self._is_ready and status not in ("loading", "stopping"):
            assignments["READY"] = 1
        elif not self._is_ready and self._has_progress():
            assignments["EXTEND_TIMEOUT_USEC"] = int(_TIMEOUT_EXTENSION_S * 1e6)
        if text != self._last_status:
            assignments["STATUS"] = text
        if assignments and self._manager.notify(**assignments):  # else it is sent again
            self._last_status = text
            self._is_ready = self._is_ready or "READY" in assignments

    def _has_progress(self) -> bool:
        """Return whether the loading engine has sent an event since the last call."""
        last_event_s = self._supervisor.last_event_s or 0.0
        has_progress = last_event_s > self._last_extension_s
        self._last_extension_s = last_event_s
        return has_progress


def describe(supervisor: Supervisor) -> str:
    """Return the line that `systemctl status` shows."""
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
