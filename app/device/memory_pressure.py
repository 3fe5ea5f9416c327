"""Owns noticing that memory is short; must not know what is done about it.

The kernel tells how long tasks wait for memory (PSI). systemd passes on where to listen in
MEMORY_PRESSURE_WATCH and what to write there first in MEMORY_PRESSURE_WRITE
(https://systemd.io/MEMORY_PRESSURE/); without that it is this process's own control group.
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

SHORT_US, WINDOW_US = 150_000, 2_000_000
_TRIGGER = f"some {SHORT_US} {WINDOW_US}\0".encode()
_READ_BYTES = 4096


class Source(Protocol):
    """Something that tells of short memory."""

    def wait(self, stop: int) -> bool:
        """Wait until memory is short; False when the descriptor `stop` is readable, or for good."""

    def close(self) -> None:
        """Listen no more."""


class Trigger:
    """A descriptor on which the kernel, or systemd, signals.

    Args:
        descriptor: this object closes it.
        event: POLLPRI for the kernel's files, POLLIN for pipes and sockets, which are emptied.
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
        return self._event == select.POLLPRI or bool(self._drained())

    def _drained(self) -> bytes:
        with contextlib.suppress(OSError):
            return os.read(self._descriptor, _READ_BYTES)
        return b""

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self._descriptor)


class Gauge:
    """A pressure file that this process may read but set no trigger on; looked at every window.

    Args:
        path: a `memory.pressure` file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._total_us = waited_us(path)

    def wait(self, stop: int) -> bool:
        """Look until tasks have waited for long enough within a window."""
        poll = select.poll()
        poll.register(stop, select.POLLIN)
        while not poll.poll(WINDOW_US / 1000):
            before_us, self._total_us = self._total_us, waited_us(self._path)
            if self._total_us is None:
                return False
            if before_us is not None and self._total_us - before_us >= SHORT_US:
                return True
        return False

    def close(self) -> None:
        """There is nothing to close."""


def waited_us(path: Path) -> int | None:
    """Return for how long some task has waited, ever; None where the file does not say."""
    for line in text(path).splitlines():
        total = line.rpartition(" total=")[2]
        if line.startswith("some ") and total.isdecimal():
            return int(total)
    return None


def find_source(environment: Mapping[str, str], root: Path = Path("/")) -> Source | None:
    """Return what tells of short memory; None where nothing does, or nobody wants to be told.

    Args:
        environment: what systemd passed on.
        root: where /proc and /sys are found.
    """
    named = environment.get("MEMORY_PRESSURE_WATCH")
    if named:
        wanted = environment.get("MEMORY_PRESSURE_WRITE", "")
        return None if named == "/dev/null" else _named_source(Path(named), wanted)
    for cgroup in own_cgroups(root):
        if cgroup.version == 2:
            path = cgroup.folder / "memory.pressure"
            return _opened(path, _TRIGGER) or (Gauge(path) if waited_us(path) is not None else None)
    return None


def _named_source(path: Path, wanted: str) -> Source | None:
    with contextlib.suppress(OSError, binascii.Error):
        first = base64.b64decode(wanted, validate=True)
        if stat.S_ISSOCK(path.stat().st_mode):
            return _connected(path, first)
        return _opened(path, first)
    return None


def _connected(path: Path, first: bytes) -> Source:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stream:
        stream.connect(str(path))
        stream.sendall(first)
        return Trigger(stream.detach(), select.POLLIN)


def _opened(path: Path, first: bytes) -> Source | None:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        is_pipe = stat.S_ISFIFO(os.fstat(descriptor).st_mode)
        if first:
            os.write(descriptor, first)
    except OSError:
        os.close(descriptor)
        return None
    return Trigger(descriptor, select.POLLIN if is_pipe else select.POLLPRI)
