"""Owns knocking at a server's door all the time, to see whether it ever stays shut."""

from __future__ import annotations

import socket
import threading
import time

from scripts.benchmark.processes import ClosedAtExit
from scripts.fault_trials.tally import Tally

_EVERY_S = 0.01
_TIMEOUT_S = 5.0


class Knocker(ClosedAtExit):
    """Asks a server whether it lives, in a thread, each time over a new connection.

    Args:
        url: of the server.
        path: what to ask for.
    """

    def __init__(self, url: str, path: str = "/health/live") -> None:
        host, port = url.removeprefix("http://").split(":")
        self._address = (host, int(port))
        head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        self._request = head.encode()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._knock, daemon=True)
        self._refused: list[str] = []
        self.times_s: list[float] = []
        self._thread.start()

    def close(self) -> None:
        """Stop asking."""
        self._is_over.set()
        self._thread.join()

    def tally(self, fault: str) -> Tally:
        """Return what came of it."""
        n_refused = len(self._refused)
        tally = Tally(fault, tried=len(self.times_s) + n_refused, losses=self._refused)
        tally.seen["answered"] = len(self.times_s)
        return tally

    def p99_ms(self) -> float:
        """Return the time within which 99 of 100 answers came, in milliseconds."""
        ordered = sorted(self.times_s)
        return 1000.0 * ordered[int(0.99 * (len(ordered) - 1))]

    def _knock(self) -> None:
        while not self._is_over.wait(_EVERY_S):
            began_s = time.monotonic()
            try:
                with socket.create_connection(self._address, timeout=_TIMEOUT_S) as connection:
                    connection.sendall(self._request)
                    answer = connection.recv(64)
            except OSError as error:
                self._refused.append(repr(error))
                continue
            if answer.startswith(b"HTTP/1.1 200"):
                self.times_s.append(time.monotonic() - began_s)
            else:
                self._refused.append(repr(answer))
