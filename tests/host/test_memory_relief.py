"""Under memory pressure every loaded engine evicts, at intervals; an episode is logged once."""

from __future__ import annotations

import asyncio
import os
import select
import threading
from dataclasses import dataclass
from typing import cast

import pytest
from structlog.testing import capture_logs

from app.errors import EngineDied
from app.host import memory_relief
from app.host.memory_relief import MemoryRelief, PressureWatch
from app.host.supervisor import Supervisor
from app.protocol import Command, MemoryTrimmed, TrimMemory


class Signals:
    """A source that tests signal with."""

    def __init__(self) -> None:
        self.descriptor = os.eventfd(0)
        self.is_closed = threading.Event()

    def wait(self, stop: int) -> bool:
        ready, _, _ = select.select([self.descriptor, stop], [], [])
        if stop in ready:
            return False
        os.eventfd_read(self.descriptor)
        return True

    def close(self) -> None:
        os.close(self.descriptor)
        self.is_closed.set()


@pytest.mark.parametrize(("min_interval_s", "n_called"), [(0.0, 3), (3600.0, 1)])
async def test_pressure_is_relieved_at_most_every_few_seconds(
    min_interval_s: float, n_called: int
) -> None:
    called = asyncio.Queue[int]()

    async def relieve() -> None:
        called.put_nowait(1)

    signals = Signals()
    watch = PressureWatch(lambda: signals, relieve, min_interval_s=min_interval_s)
    watch.start()
    for _ in range(n_called):
        os.eventfd_write(signals.descriptor, 1)
        await called.get()
    os.eventfd_write(signals.descriptor, 1)
    await watch.stop()
    assert signals.is_closed.is_set()
    assert min_interval_s == 0.0 or called.empty()


async def test_a_watch_without_a_source_does_nothing() -> None:
    async def relieve() -> None:
        raise AssertionError

    watch = PressureWatch(lambda: None, relieve)
    watch.start()
    await watch.stop()


# ---------------------------------------------------------------- relief


class Engine:
    """An engine that has this much to evict; None is one that crashes."""

    def __init__(self, n_bytes: int | None) -> None:
        self.n_bytes = n_bytes

    async def ask(self, command: Command, request_id: str) -> MemoryTrimmed:
        assert isinstance(command, TrimMemory)
        if self.n_bytes is None:
            raise EngineDied("it exited")
        n_bytes, self.n_bytes = self.n_bytes, 0
        return MemoryTrimmed(request_id=request_id, entries=int(n_bytes > 0), bytes=n_bytes)


@dataclass
class Served:
    engine: Engine


@dataclass
class Host:
    """The part of the supervisor that is used."""

    loaded: list[Served]


def relief_of(*n_bytes: int | None) -> MemoryRelief:
    host = Host([Served(Engine(each)) for each in n_bytes])
    return MemoryRelief(cast(Supervisor, host))


async def test_every_loaded_engine_evicts_and_a_crashed_one_is_skipped() -> None:
    relief = relief_of(100, None, 20)
    with capture_logs() as lines:
        await relief()
    (line,) = lines
    assert line["event"] == "memory_pressure"
    assert (line["freed_bytes"], line["freed_entries"]) == (120, 2)


async def test_pressure_that_lasts_is_logged_only_when_something_was_evicted() -> None:
    relief = relief_of(0)
    with capture_logs() as lines:
        for _ in range(3):
            await relief()
    assert [line["freed_bytes"] for line in lines] == [0]


async def test_pressure_that_returns_after_a_quiet_period_is_logged_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory_relief, "_CLEAR_AFTER_S", 0.0)
    relief = relief_of()
    with capture_logs() as lines:
        await relief()
        await relief()
    assert len(lines) == 2
