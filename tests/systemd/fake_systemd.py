"""Owns the side of systemd: a notify socket that remembers, and sockets handed to a server."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

_HAND_OVER = """
import os, sys
fds = [int(fd) for fd in sys.argv[1].split(",")]
for index, fd in enumerate([os.dup(fd) for fd in fds]):
    os.dup2(fd, 100 + index)
for index in range(len(fds)):
    os.dup2(100 + index, 3 + index)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(fds))}
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""


class FakeSystemd:
    """A notify socket.

    Args:
        address: a path, or `@` and a name.
    """

    def __init__(self, address: Path | str) -> None:
        self.environment = {"NOTIFY_SOCKET": str(address)}
        self._changed = threading.Condition()
        self._messages: list[tuple[float, dict[str, str]]] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        text = str(address)
        self._socket.bind("\0" + text[1:] if text.startswith("@") else text)
        self._socket.settimeout(0.1)
        self._open = True
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._open = False
        self._thread.join(timeout=5)
        self._socket.close()

    def _listen(self) -> None:
        while self._open:
            try:
                data = self._socket.recv(65536)
            except TimeoutError:
                continue
            pairs = dict(line.split("=", 1) for line in data.decode().split("\n"))
            with self._changed:
                self._messages.append((time.monotonic(), pairs))
                self._changed.notify_all()

    @property
    def messages(self) -> list[dict[str, str]]:
        """What was told so far."""
        with self._changed:
            return [message for _, message in self._messages]

    @property
    def statuses(self) -> list[str]:
        """Every `STATUS=` so far."""
        return [message["STATUS"] for message in self.messages if "STATUS" in message]

    def times_of(self, key: str) -> list[float]:
        """Return the monotonic times at which something was told."""
        with self._changed:
            return [at_s for at_s, message in self._messages if key in message]

    def wait_for(
        self, found: Callable[[dict[str, str]], bool], timeout_s: float = 60.0
    ) -> dict[str, str]:
        """Return the first message that `found` accepts; waits for it."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while True:
                for _, message in self._messages:
                    if found(message):
                        return message
                if time.monotonic() > deadline:
                    raise AssertionError(f"not told; all that was: {self._messages}")
                self._changed.wait(0.2)

    def wait_for_key(self, key: str, timeout_s: float = 60.0) -> dict[str, str]:
        """Return the first message with a key; waits for it."""
        return self.wait_for(lambda message: key in message, timeout_s)


def handing_over(*listeners: socket.socket) -> tuple[str, ...]:
    """Return arguments of Python that run a module with these sockets as systemd's.

    The sockets must be passed to the process too; what to run comes after.
    """
    return ("-c", _HAND_OVER, ",".join(str(listener.fileno()) for listener in listeners))


def tcp_listener(address: str = "127.0.0.1") -> socket.socket:
    """Return a socket that listens on a free port of an address."""
    listener = socket.create_server((address, 0))
    os.set_inheritable(listener.fileno(), True)
    return listener


def unix_listener(path: Path) -> socket.socket:
    """Return a socket that listens on a path."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(128)
    os.set_inheritable(listener.fileno(), True)
    return listener
