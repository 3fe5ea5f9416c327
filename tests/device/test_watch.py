"""When the device is looked at, and that its troubles are told once."""

from __future__ import annotations

import asyncio
import threading

import pytest
from structlog.testing import capture_logs

from app.device import watch as device_watch
from app.device.episode import Episode
from app.device.readings import DeviceState
from app.device.watch import DeviceWatch


def test_a_condition_begins_once_and_ends_after_a_calm() -> None:
    condition = Episode(clear_after_s=30)
    there = {0: False, 5: True, 10: True, 20: False, 30: True, 40: False, 59: False, 60: False}
    told = [
        now_s for now_s, is_active in there.items() if condition.update(now_s, is_active=is_active)
    ]
    assert told == [5, 60]


class Device:
    """A device whose state tests set."""

    def __init__(self) -> None:
        self.state = DeviceState()
        self.n_reads = 0

    def read(self) -> DeviceState:
        self.n_reads += 1
        return self.state


async def test_a_state_is_read_again_only_when_it_is_old(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device()
    watch = DeviceWatch(device.read)
    await watch.fresh()
    await watch.fresh()
    assert device.n_reads == 1
    monkeypatch.setattr(device_watch, "MAX_AGE_S", 0.0)
    await watch.fresh()
    assert device.n_reads == 2


async def test_trouble_is_logged_when_it_begins_and_when_it_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(device_watch, "MAX_AGE_S", 0.0)
    monkeypatch.setattr(device_watch, "_CLEAR_AFTER_S", 0.0)
    device = Device()
    watch = DeviceWatch(device.read)
    with capture_logs() as lines:
        for state in (
            DeviceState(),
            DeviceState(throttled=True, temperature_c=85.0),
            DeviceState(throttled=True, temperature_c=86.0),
        ):
            device.state = state
            await watch.fresh()
        assert [*watch.warnings()] == [
            "The device slows its processor down because it is too hot or short of current "
            "(86 °C); answers are slower"
        ]
        device.state = DeviceState(under_voltage=True)
        await watch.fresh()
        assert [warning for warning in watch.warnings() if "power supply" in warning]
        assert len([*watch.warnings()]) == 1
    events = [line["event"] for line in lines]
    assert events == ["throttling_began", "throttling_ended", "under_voltage_began"]
    assert lines[0]["temperature_c"] == 85.0
    assert lines[1]["lasted_s"] >= 0


async def test_a_disk_that_hangs_does_not_hold_health_up() -> None:
    released = threading.Event()

    def read() -> DeviceState:
        released.wait(10)
        return DeviceState(cpu_mhz=1)

    watch = DeviceWatch(read)
    assert (await watch.fresh()).cpu_mhz is None
    released.set()
    assert (await watch.fresh()).cpu_mhz == 1


async def test_it_looks_by_itself_until_it_is_stopped() -> None:
    looked = asyncio.Event()
    loop = asyncio.get_running_loop()

    def read() -> DeviceState:
        loop.call_soon_threadsafe(looked.set)
        return DeviceState()

    watch = DeviceWatch(read, poll_interval_s=0.0)
    watch.start()
    await looked.wait()
    await watch.stop()


async def test_it_can_be_stopped_at_any_moment_of_a_look() -> None:
    for n_turns in range(100):
        watch = DeviceWatch(DeviceState, poll_interval_s=3600)
        watch.start()
        for _ in range(n_turns):
            await asyncio.sleep(0)
        async with asyncio.timeout(10):
            await watch.stop()
