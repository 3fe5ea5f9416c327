"""Memory pressure, as systemd and the kernel tell of it, and what the host does then."""

from __future__ import annotations

import asyncio
import base64
import os
import select
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.device import memory_pressure
from app.device.memory_pressure import (
    PollingSource,
    PressureSource,
    TriggerSource,
    find_source,
    stall_us,
)
from app.host.memory_relief import PressureWatch
from tests.device.sysfs import write

WRITE = base64.b64encode(b"some 200000 2000000\0").decode()
PRESSURE = "some avg10=0.00 avg60=0.00 avg300=0.00 total={}\nfull avg10=0.00 total=9\n"
CGROUP = {"proc/self/cgroup": "0::/system.slice/x.service\n"}
FILE = "sys/fs/cgroup/system.slice/x.service/memory.pressure"


@pytest.fixture
def stop() -> Iterator[int]:
    descriptor = os.eventfd(0)
    yield descriptor
    os.close(descriptor)


def found(environment: dict[str, str], root: Path) -> PressureSource:
    source = find_source(environment, root)
    assert source is not None
    return source


def test_a_pipe_from_systemd_is_written_to_and_listened_on(tmp_path: Path, stop: int) -> None:
    path = tmp_path / "pressure"
    os.mkfifo(path)
    ours = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    source = found({"MEMORY_PRESSURE_WATCH": str(path), "MEMORY_PRESSURE_WRITE": WRITE}, tmp_path)
    assert os.read(ours, 100) == b"some 200000 2000000\0"
    os.write(ours, b"!")
    assert source.wait(stop)
    os.eventfd_write(stop, 1)
    assert not source.wait(stop)
    source.close()
    os.close(ours)


def test_a_socket_from_systemd_is_connected_to(tmp_path: Path, stop: int) -> None:
    path = tmp_path / "pressure"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen(1)
        environment = {"MEMORY_PRESSURE_WATCH": str(path), "MEMORY_PRESSURE_WRITE": WRITE}
        source = found(environment, tmp_path)
        connection, _ = listener.accept()
        with connection:
            assert connection.recv(100) == b"some 200000 2000000\0"
            connection.sendall(b"!")
            assert source.wait(stop)
        assert not source.wait(stop), "the other end is gone"
        source.close()


def test_the_kernels_files_signal_urgently(stop: int) -> None:
    # a socket with urgent data polls as a pressure file does
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        theirs, _ = server.accept()
        source = TriggerSource(client.detach(), select.POLLPRI)
        with theirs:
            theirs.send(b"!", socket.MSG_OOB)
            assert source.wait(stop)
        source.close()


@pytest.mark.parametrize(
    "environment",
    [
        {"MEMORY_PRESSURE_WATCH": "/dev/null"},
        {"MEMORY_PRESSURE_WATCH": "/not/there"},
        {"MEMORY_PRESSURE_WATCH": "/proc/self/comm", "MEMORY_PRESSURE_WRITE": "no base64"},
    ],
)
def test_nothing_is_listened_to_where_systemd_says_so_or_it_cannot_be_opened(
    environment: dict[str, str], tmp_path: Path
) -> None:
    assert find_source(environment, write(tmp_path, CGROUP | {FILE: PRESSURE.format(1)})) is None


def test_without_systemd_it_is_the_own_control_group(tmp_path: Path) -> None:
    root = write(tmp_path, CGROUP | {FILE: PRESSURE.format(1)})
    source = found({}, root)
    assert isinstance(source, TriggerSource)
    source.close()
    assert (root / FILE).read_bytes().startswith(b"some 150000 2000000\0")


def test_where_no_trigger_may_be_set_the_file_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError

    root = write(tmp_path, CGROUP | {FILE: PRESSURE.format(1)})
    monkeypatch.setattr(os, "open", refuse)
    assert isinstance(find_source({}, root), PollingSource)


def test_without_any_source_there_is_none(tmp_path: Path) -> None:
    assert find_source({}, tmp_path) is None
    assert find_source({}, write(tmp_path, CGROUP)) is None


def test_a_gauge_tells_when_tasks_waited_long_enough_in_a_window(
    tmp_path: Path, stop: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    totals = iter([1_000, 150_999, 300_998, 450_998, None])
    monkeypatch.setattr(memory_pressure, "stall_us", lambda _: next(totals))
    monkeypatch.setattr(memory_pressure, "WINDOW_US", 1000)
    gauge = PollingSource(tmp_path)
    assert gauge.wait(stop)
    assert not gauge.wait(stop), "the file is gone"


def test_the_time_waited_is_that_of_some_task(tmp_path: Path) -> None:
    path = write(tmp_path, {"memory.pressure": PRESSURE.format(4711)}) / "memory.pressure"
    assert stall_us(path) == 4711
    assert stall_us(tmp_path / "missing") is None


# ---------------------------------------------------------------- the watch


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
