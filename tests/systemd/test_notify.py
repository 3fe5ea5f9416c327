"""What is said to systemd and taken from it, over real sockets."""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.systemd import notify
from app.systemd.notify import ServiceManager, take_over


@pytest.fixture(params=["path", "abstract"])
def heard(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[socket.socket, ServiceManager]]:
    path = str(tmp_path / "notify")
    address = path if request.param == "path" else f"@distiller-test-{secrets.token_hex(8)}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address.replace("@", "\0"))
        listener.settimeout(5)
        yield listener, take_over({"NOTIFY_SOCKET": address})


def test_assignments_arrive_as_lines_of_one_datagram(
    heard: tuple[socket.socket, ServiceManager],
) -> None:
    listener, manager = heard
    assert manager.notify(READY=1, STATUS="Serving nano")
    assert listener.recv(4096) == b"READY=1\nSTATUS=Serving nano"


def test_a_line_break_in_a_status_makes_no_second_assignment(
    heard: tuple[socket.socket, ServiceManager],
) -> None:
    listener, manager = heard
    manager.notify(STATUS="bad model:\nSTOPPING=1")
    assert listener.recv(4096) == b"STATUS=bad model: STOPPING=1"


def test_reloading_carries_the_monotonic_clock(
    heard: tuple[socket.socket, ServiceManager],
) -> None:
    listener, manager = heard
    before_us = time.monotonic_ns() // 1000
    assert manager.reloading()
    first, second = listener.recv(4096).decode().split("\n")
    assert first == "RELOADING=1"
    stamp_us = int(second.removeprefix("MONOTONIC_USEC="))
    assert before_us <= stamp_us <= time.monotonic_ns() // 1000


@pytest.mark.parametrize(
    "address", ["", "relative", "@", "vsock:2:1", "/nowhere/at/all", "/" + "x" * 300, "/a\0b"]
)
def test_a_manager_that_cannot_be_reached_does_no_harm(address: str) -> None:
    assert not take_over({"NOTIFY_SOCKET": address}).notify(READY=1)


def test_a_manager_that_does_not_read_makes_nobody_wait(tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(path)
        manager = take_over({"NOTIFY_SOCKET": path})
        sent = [manager.notify(STATUS="x" * 1000) for _ in range(2000)]
    assert sent[0]
    assert not sent[-1]


def test_without_systemd_nothing_is_told_and_nothing_was_handed_over() -> None:
    manager = take_over({})
    assert manager == ServiceManager()
    assert not manager.notify(READY=1)


def test_what_systemd_said_is_taken_out_of_the_environment() -> None:
    environ = dict.fromkeys(notify.VARIABLES, "1") | {"PATH": "/bin"}
    take_over(environ)
    assert environ == {"PATH": "/bin"}


@pytest.fixture
def open_fds(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Two descriptors in a row that children would inherit, standing where systemd's do."""
    pair = os.pipe()
    first = 200
    fds = [os.dup2(fd, first + index) for index, fd in enumerate(pair)]
    monkeypatch.setattr(notify, "FIRST_FD", first)
    yield fds
    for fd in (*pair, *fds):
        os.close(fd)


def test_descriptors_are_taken_with_their_names_and_kept_from_children(open_fds: list[int]) -> None:
    environ = {"LISTEN_FDS": "2", "LISTEN_PID": str(os.getpid()), "LISTEN_FDNAMES": "http:unix"}
    handed = take_over(environ).fds
    assert [(item.fd, item.name) for item in handed] == list(
        zip(open_fds, ["http", "unix"], strict=True)
    )
    assert not any(os.get_inheritable(fd) for fd in open_fds)


def test_descriptors_without_names_are_taken_too(open_fds: list[int]) -> None:
    handed = take_over({"LISTEN_FDS": "2", "LISTEN_PID": str(os.getpid())}).fds
    assert [item.name for item in handed] == ["", ""]


@pytest.mark.parametrize(
    ("count", "pid"),
    [("2", "1"), ("2", ""), ("x", "self"), ("-1", "self"), ("", "self"), ("9" * 30, "self")],
)
def test_descriptors_of_another_process_or_of_odd_number_are_left_alone(
    open_fds: list[int], count: str, pid: str
) -> None:
    own = str(os.getpid()) if pid == "self" else pid
    assert take_over({"LISTEN_FDS": count, "LISTEN_PID": own}).fds == []
    assert all(os.get_inheritable(fd) for fd in open_fds)


def test_a_descriptor_that_is_not_open_is_left_out(open_fds: list[int]) -> None:
    environ = {"LISTEN_FDS": "3", "LISTEN_PID": str(os.getpid())}
    assert [item.fd for item in take_over(environ).fds] == open_fds


@pytest.mark.parametrize(
    ("variables", "seconds"),
    [
        ({"WATCHDOG_USEC": "6000000"}, 6.0),
        ({"WATCHDOG_USEC": "6000000", "WATCHDOG_PID": str(os.getpid())}, 6.0),
        ({"WATCHDOG_USEC": "6000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_ours_or_none(variables: dict[str, str], seconds: float | None) -> None:
    assert take_over(dict(variables)).watchdog_s == seconds
