"""What systemd is told while a model loads, and when it is told nothing."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from app.host.cache_folder import CacheFolder
from app.host.process import spawn
from app.host.profiles import Profile
from app.host.supervisor import Supervisor
from app.models.catalog import Catalog
from app.parameters.timeouts import Timeouts
from app.protocol import CacheParams, LoadParams, QueueParams
from app.systemd.notify import ServiceManager, take_over
from app.systemd.status import SystemdStatus
from app.systemd.watchdog import SupervisorHealth
from tests.models.gguf_files import write_llama
from tests.systemd.fake_systemd import FakeSystemd

WATCHDOG_S = 0.2


class Service:
    """A supervisor with fake engines that tells a fake systemd."""

    def __init__(self, folder: Path) -> None:
        write_llama(folder / "first.gguf")
        self.folder = folder
        self.fifo = folder / "fifo"
        os.mkfifo(self.fifo)
        self.supervisor: Supervisor
        self.feed: SystemdStatus

    def start(self, systemd: FakeSystemd, *profiles: Profile) -> None:
        self.supervisor = Supervisor(
            Catalog(self.folder),
            LoadParams(n_ctx=512),
            QueueParams(),
            CacheFolder(self.folder / "cache", CacheParams()),
            profiles,
            timeouts=Timeouts(load_timeout_s=60, engine_timeout_s=60, drain_timeout_s=5),
        )
        told = take_over(dict(systemd.environment))
        manager = ServiceManager(told.address, watchdog_s=WATCHDOG_S)
        self.feed = SystemdStatus(manager, self.supervisor, SupervisorHealth(self.supervisor, 0.0))
        self.supervisor.start("first.gguf")
        self.feed.start()

    async def go_on(self) -> None:
        """Let the engine go on that waits for the FIFO."""
        await asyncio.to_thread(self.fifo.write_bytes, b"")


@pytest.fixture
async def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Service]:
    monkeypatch.setattr(spawn, "_ENGINE_MODULE", "tests.host.fake_engine")
    made = Service(tmp_path)
    yield made
    made.feed.stopping()
    await made.supervisor.stop()


@pytest.fixture
def systemd(tmp_path: Path) -> FakeSystemd:
    return FakeSystemd(tmp_path / "notify")


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - another thread makes it true
            await asyncio.sleep(0.01)


async def test_progress_is_told_in_percent_and_gets_more_time(
    service: Service, systemd: FakeSystemd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_ENGINE_LOAD", str(service.fifo))
    with systemd:
        service.start(systemd)
        await until(lambda: any("(42%)" in status for status in systemd.statuses))
        await until(lambda: bool(systemd.times_of("EXTEND_TIMEOUT_USEC")))
        assert not systemd.times_of("READY")
        await service.go_on()
        await until(lambda: bool(systemd.times_of("READY")))


async def test_an_engine_that_says_nothing_while_it_loads_gets_no_more_time(
    service: Service, systemd: FakeSystemd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_ENGINE_LOAD", str(service.fifo))
    with systemd:
        service.start(systemd)
        await until(lambda: any("(42%)" in status for status in systemd.statuses))
        await asyncio.sleep(0.6)
        n_extended = len(systemd.times_of("EXTEND_TIMEOUT_USEC"))
        await asyncio.sleep(0.8)
        assert len(systemd.times_of("EXTEND_TIMEOUT_USEC")) == n_extended
        await service.go_on()


async def test_it_is_not_ready_while_a_profile_is_restored(
    service: Service, systemd: FakeSystemd
) -> None:
    messages = [{"role": "system", "content": f"wait {service.fifo}"}]
    with systemd:
        service.start(systemd, Profile(name="kitchen", messages=messages, tools=[]))
        await until(lambda: any("'kitchen'" in status for status in systemd.statuses))
        assert not systemd.times_of("READY")
        await service.go_on()
        await until(lambda: bool(systemd.times_of("READY")))
        assert systemd.statuses[-1].endswith("1 of 1 profiles ready")


async def test_a_loop_that_is_stuck_feeds_no_watchdog(
    service: Service, systemd: FakeSystemd
) -> None:
    with systemd:
        service.start(systemd)
        await until(lambda: len(systemd.times_of("WATCHDOG")) >= 2)
        time.sleep(0.05)  # noqa: ASYNC251 - what is on its way arrives; nothing new is sent
        fed = len(systemd.times_of("WATCHDOG"))
        time.sleep(5 * WATCHDOG_S)  # noqa: ASYNC251 - this is the hang
        assert len(systemd.times_of("WATCHDOG")) == fed
        await until(lambda: len(systemd.times_of("WATCHDOG")) > fed)


async def test_a_supervisor_that_is_stuck_feeds_no_watchdog(
    service: Service, systemd: FakeSystemd
) -> None:
    with systemd:
        service.start(systemd)
        await service.supervisor.settled()
        await until(lambda: bool(systemd.times_of("WATCHDOG")))
        service.supervisor.status.name = "restarting"
        await asyncio.sleep(2 * WATCHDOG_S)
        fed = len(systemd.times_of("WATCHDOG"))
        await asyncio.sleep(3 * WATCHDOG_S)
        assert len(systemd.times_of("WATCHDOG")) == fed
        service.supervisor.status.name = "ok"
        await until(lambda: len(systemd.times_of("WATCHDOG")) > fed)


async def test_a_stop_that_takes_its_time_is_no_hang(
    service: Service, systemd: FakeSystemd
) -> None:
    with systemd:
        service.start(systemd)
        await until(lambda: bool(systemd.times_of("READY")))
        service.feed.stopping()
        service.supervisor.begin_stop()
        fed = len(systemd.times_of("WATCHDOG"))
        await until(lambda: len(systemd.times_of("WATCHDOG")) > fed + 2)
        assert "shutting down" not in systemd.statuses[-1]


async def test_what_systemd_could_not_take_is_told_again(service: Service, tmp_path: Path) -> None:
    address = tmp_path / "later"
    with FakeSystemd(tmp_path / "notify") as elsewhere:
        elsewhere.environment["NOTIFY_SOCKET"] = str(address)
        service.start(elsewhere)
        await service.supervisor.settled()
    with FakeSystemd(address) as systemd:
        await until(lambda: bool(systemd.times_of("READY")))
        assert systemd.statuses[-1].startswith("Serving first.gguf")
