"""Owns systemd's service protocols: notifications, socket activation, the watchdog's interval.

They are those of sd_notify(3), sd_listen_fds(3) and sd_watchdog_enabled(3). Sockets and
environment only: it must not know what the service does. Without systemd, it does nothing.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import MutableMapping
from dataclasses import dataclass, field

FIRST_FD = 3
VARIABLES = (
    "NOTIFY_SOCKET",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
    "LISTEN_PIDFDID",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
)


@dataclass(frozen=True, slots=True)
class HandedFd:
    """A file descriptor passed by systemd, and its FileDescriptorName=."""

    fd: int
    name: str


@dataclass(frozen=True, slots=True)
class ServiceManager:
    """systemd as seen from a service.

    Args:
        address: the notification socket; empty if there is none.
        fds: the file descriptors it passed.
        watchdog_s: the watchdog's timeout in seconds; None without a watchdog.
    """

    address: str = ""
    fds: list[HandedFd] = field(default_factory=list)
    watchdog_s: float | None = None

    def notify(self, **assignments: str | int) -> bool:
        """Send assignments such as `STATUS="Loading"`; return whether they were sent.

        Never raises and never blocks, even if systemd does not read its socket.
        """
        if not self.address:
            return False
        lines = [f"{key}={_one_line(value)}" for key, value in assignments.items()]
        with contextlib.suppress(OSError, ValueError):
            return _send(self.address, "\n".join(lines).encode(errors="replace"))
        return False

    def reloading(self) -> bool:
        """Send `RELOADING=1`; `READY=1` ends the reload."""
        return self.notify(RELOADING=1, MONOTONIC_USEC=time.monotonic_ns() // 1000)


def take_over(environ: MutableMapping[str, str] = os.environ) -> ServiceManager:
    """Read systemd's variables and remove them from the environment, so that no child gets them."""
    found = {name: environ.pop(name) for name in VARIABLES if name in environ}
    return ServiceManager(
        address=_address(found.get("NOTIFY_SOCKET", "")),
        fds=_handed_fds(found),
        watchdog_s=_watchdog_s(found),
    )


def _address(given: str) -> str:
    if given.startswith("@") and len(given) > 1:
        return "\0" + given[1:]
    return given if given.startswith("/") else ""


def _handed_fds(found: dict[str, str]) -> list[HandedFd]:
    count = _number(found.get("LISTEN_FDS"))
    if count is None or _number(found.get("LISTEN_PID")) != os.getpid():
        return []
    names = found.get("LISTEN_FDNAMES", "").split(":")
    handed = []
    for index in range(count):
        fd = FIRST_FD + index
        try:
            os.set_inheritable(fd, False)
        except OSError:
            break
        handed.append(HandedFd(fd, names[index] if index < len(names) else ""))
    return handed


def _watchdog_s(found: dict[str, str]) -> float | None:
    period_us = _number(found.get("WATCHDOG_USEC"))
    if not period_us or _number(found.get("WATCHDOG_PID", str(os.getpid()))) != os.getpid():
        return None
    return period_us / 1e6


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 20 else None


def _one_line(value: str | int) -> str:
    return " ".join(str(value).split("\n"))


def _send(address: str, message: bytes) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.setblocking(False)
        return sender.sendto(message, address) == len(message)
