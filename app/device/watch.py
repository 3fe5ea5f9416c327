"""Owns polling the device's sensors, and logging when throttling or under-voltage start and end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator

from app.background_tasks import start_task
from app.device.episode import Episode
from app.device.readings import DeviceState
from app.logs import get_logger

MAX_AGE_S = 2.0
_POLL_INTERVAL_S = 5.0
_CLEAR_AFTER_S = 30.0
_READ_TIMEOUT_S = 0.25

log = get_logger("device")


class DeviceWatch:
    """Polls the sensors periodically and on demand.

    Args:
        read: returns a reading; called in a thread, because a disk may hang.
        poll_interval_s: seconds between two periodic polls.
    """

    def __init__(
        self, read: Callable[[], DeviceState], *, poll_interval_s: float = _POLL_INTERVAL_S
    ) -> None:
        self._read = read
        self._poll_interval_s = poll_interval_s
        self._reading: asyncio.Task[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._read_s = 0.0
        self._throttled = Episode(_CLEAR_AFTER_S)
        self._under_voltage = Episode(_CLEAR_AFTER_S)
        self.state = DeviceState()

    def start(self) -> None:
        """Start polling; needs a running event loop."""
        self._task = start_task(self._watch())

    async def stop(self) -> None:
        """Stop polling."""
        tasks = [task for task in (self._task, self._reading) if task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def fresh(self) -> DeviceState:
        """Return a reading at most two seconds old, or an older one if reading takes too long."""
        if self._read_s and time.monotonic() - self._read_s < MAX_AGE_S:
            return self.state
        if self._reading is None or self._reading.done():
            self._reading = start_task(self._poll())
        await asyncio.wait([self._reading], timeout=_READ_TIMEOUT_S)
        return self.state

    def warnings(self) -> Iterator[str]:
        """Yield a sentence for each problem of the device."""
        if self._throttled.since_s is not None:
            yield (
                "The device slows its processor down because it is too hot or short of current"
                f"{_temperature(self.state)}; answers are slower"
            )
        if self._under_voltage.since_s is not None:
            yield "The device gets too little voltage; use a stronger power supply or cable"

    async def _watch(self) -> None:
        while True:
            await self.fresh()
            await asyncio.sleep(self._poll_interval_s)

    async def _poll(self) -> None:
        state = await asyncio.to_thread(self._read)
        self._read_s = now_s = time.monotonic()
        self.state = state
        for condition, name, is_active in (
            (self._throttled, "throttling", state.throttled),
            (self._under_voltage, "under_voltage", state.under_voltage),
        ):
            since_s = condition.since_s
            if condition.update(now_s, is_active=bool(is_active)):
                _log_change(name, state, None if since_s is None else now_s - since_s)


def _log_change(name: str, state: DeviceState, lasted_s: float | None) -> None:
    facts = {
        "temperature_c": state.temperature_c,
        "cpu_mhz": state.cpu_mhz,
        "cpu_max_mhz": state.cpu_max_mhz,
    }
    if lasted_s is None:
        log.warning(f"{name}_began", **facts)
    else:
        log.info(f"{name}_ended", lasted_s=round(lasted_s, 1), **facts)


def _temperature(state: DeviceState) -> str:
    return "" if state.temperature_c is None else f" ({state.temperature_c:.0f} °C)"
