"""Owns detecting memory pressure; must not know how the service reacts.

The kernel measures how long tasks stall on memory (PSI). systemd names the file or socket to watch
in MEMORY_PRESSURE_WATCH and what to write to it in MEMORY_PRESSURE_WRITE
(https://systemd.io/MEMORY_PRESSURE/); without systemd, the process's own cgroup is watched.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import os
import select
import socket
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from app.device.kernel_files import own_cgroups, text

STALL_US, WINDOW_US = 150_000, 2_000_000
_TRIGGER = f"some {STALL_US} {WINDOW_US}\0".encode()
_READ_BYTES = 4096


class PressureSource(Protocol):
    """A source of memory pressure signals."""

    def wait(self, stop: int) -> bool:
        """Wait for pressure; False if `stop` is readable or the source has failed."""

    def close(self) -> None:
        """Release the source."""


class TriggerSource:
    """A descriptor that the kernel or systemd signals.

    Args:
        descriptor: owned by this object.
        event: POLLPRI for the kernel's files; POLLIN for pipes and sockets, which are drained.
    """

    def __init__(self, descriptor: int, event: int) -> None:
        self._descriptor = descriptor
        self._event = event

    def wait(self, stop: int) -> bool:
        """Wait for the signal."""
        poll = select.poll()
        poll.register(self._descriptor, self._event)
        poll.register(stop, select.POLLIN)
        found = dict(poll.poll())
        if stop in found or not found.get(self._descriptor, 0) & self._event:
            return False
        return self._event == select.POLLPRI or bool(self._drain())

    def _drain(self) -> bytes:
        with contextlib.suppress(OSError):
            return os.read(self._descriptor, _READ_BYTES)
        return b""

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self._descriptor)


class PollingSource:
    """A pressure file that can be read but takes no trigger; polled once per window.

    Args:
        path: a `memory.pressure` file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._total_us = stall_us(path)

    def wait(self, stop: int) -> bool:
        """Poll until tasks have stalled long enough within a window."""
        poll = select.poll()
        poll.register(stop, select.POLLIN)
        while not poll.poll(WINDOW_US / 1000):
            before_us, self._total_us = self._total_us, stall_us(self._path)
            if self._total_us is None:
                return False
            if before_us is not None and self._total_us - before_us >= STALL_US:
                return True
        return False

    def close(self) -> None:
        """Do nothing: no descriptor is held."""


def stall_us(path: Path) -> int | None:
    """Return the total stall time of a pressure file; None if it has none."""
    for line in text(path).splitlines():
        total = line.rpartition(" total=")[2]
        if line.startswith("some ") and total.isdecimal():
            return int(total)
    return None


def find_source(environment: Mapping[str, str], root: Path = Path("/")) -> PressureSource | None:
    """Return the source of pressure signals; None if there is none or systemd disabled it.

    Args:
        environment: the variables that systemd set.
        root: the folder that contains proc and sys.
    """
    watched = environment.get("MEMORY_PRESSURE_WATCH")
    if watched:
        command = environment.get("MEMORY_PRESSURE_WRITE", "")
        return None if watched == "/dev/null" else _systemd_source(Path(watched), command)
    for cgroup in own_cgroups(root):
        if cgroup.version == 2:
            path = cgroup.folder / "memory.pressure"
            return _open(path, _TRIGGER) or (
                PollingSource(path) if stall_us(path) is not None else None
            )
    return None


def _systemd_source(path: Path, command: str) -> PressureSource | None:
    with contextlib.suppress(OSError, binascii.Error):
        data = base64.b64decode(command, validate=True)
        if stat.S_ISSOCK(path.stat().st_mode):
            return _connect(path, data)
        return _open(path, data)
    return None


def _connect(path: Path, command: bytes) -> PressureSource:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stream:
        stream.connect(str(path))
        stream.sendall(command)
        return TriggerSource(stream.detach(), select.POLLIN)


def _open(path: Path, command: bytes) -> PressureSource | None:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        is_pipe = stat.S_ISFIFO(os.fstat(descriptor).st_mode)
        if command:
            os.write(descriptor, command)
    except OSError:
        os.close(descriptor)
        return None
    return TriggerSource(descriptor, select.POLLIN if is_pipe else select.POLLPRI)
