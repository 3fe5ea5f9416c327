"""Owns the trial with bytes that are no proper HTTP."""

from __future__ import annotations

import random
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from scripts.fault_trials.raw_requests import KINDS
from scripts.fault_trials.tally import Tally
from scripts.fault_trials.target import HANG_S, Target

REQUEST_TIMEOUT_S = 3.0
_ALLOWED = {200, 400, 403, 404, 405, 408, 413, 415, 417, 429, 431}
_STATUS = re.compile(rb"^HTTP/1\.[01] (\d{3}) ", re.MULTILINE)
_CLIENTS = 4
_CHECK_EVERY = 500
_STALLED = 100
_FIRST_S = 0.2


def raw(times: int, seed: int, hang_s: float = HANG_S) -> list[Tally]:
    """Send bytes of every kind; then send beginnings of requests and nothing more."""
    settings = {"request_timeout_s": REQUEST_TIMEOUT_S}
    with TemporaryDirectory() as folder, Target(Path(folder), settings, hang_s=hang_s) as target:
        sent = send_bytes(target, times, seed)
        return [sent, stall(target, min(times, _STALLED))] if target.is_alive else [sent]


def send_bytes(target: Target, times: int, seed: int) -> Tally:
    """Send bytes of every kind."""
    tally = Tally("bytes that are no proper HTTP")
    n_files = target.n_files()
    for begin in range(0, times, _CHECK_EVERY):
        numbers = range(begin, min(begin + _CHECK_EVERY, times))
        with ThreadPoolExecutor(_CLIENTS) as clients:
            list(clients.map(partial(_send, target, tally, seed), numbers))
        target.check(tally, f"request {numbers[-1]}")
        if not target.is_alive:
            return tally
    if target.n_files() > n_files + _CLIENTS:
        tally.lose(f"{target.n_files()} files are open, {n_files} at the start")
    return tally


def _send(target: Target, tally: Tally, seed: int, number: int) -> None:
    rng = random.Random(f"{seed}/{number}")
    kind = rng.choice(list(KINDS))
    hang_s = target.hang_s
    data = KINDS[kind](rng)
    try:
        answer = _exchange(target, data, rng, hang_s)
    except TimeoutError:
        tally.note("no answer")
        tally.lose(f"request {number} ({kind}): neither an answer nor an end within {hang_s:g} s")
        return
    except OSError:  # it closes on some while we still send
        tally.note("connection closed")
        return
    statuses = [int(status) for status in _STATUS.findall(answer)]
    tally.note(str(statuses[0]) if statuses else "connection closed")
    for status in set(statuses) - _ALLOWED:
        tally.lose(f"request {number} ({kind}): {status}, {answer[-300:]!r}")


def _exchange(target: Target, data: bytes, rng: random.Random, hang_s: float) -> bytes:
    """Return all that comes back until the connection ends."""
    with _connected(target, hang_s) as connection:
        pieces = 1 if rng.random() < 0.7 else rng.randint(2, 5)
        size = -(-len(data) // pieces)
        for begin in range(0, len(data), size):
            connection.sendall(data[begin : begin + size])
        if rng.random() < 0.05:
            return b""  # gone without a word
        answer = b"" if rng.random() < 0.2 else _first_piece(connection)
        connection.settimeout(hang_s)
        connection.shutdown(socket.SHUT_WR)
        return answer + _received(connection, time.monotonic() + hang_s)


def _first_piece(connection: socket.socket) -> bytes:
    """Return what comes back while we have not half-closed the connection, if anything does."""
    connection.settimeout(_FIRST_S)
    try:
        return connection.recv(65_536)
    except TimeoutError:
        return b""


def _connected(target: Target, timeout_s: float) -> socket.socket:
    address = urlsplit(target.url)
    return socket.create_connection((address.hostname or "", address.port or 0), timeout=timeout_s)


def _received(connection: socket.socket, deadline_s: float) -> bytes:
    answer = b""
    while piece := connection.recv(65_536):
        answer += piece
        connection.settimeout(max(0.01, deadline_s - time.monotonic()))
    return answer


def stall(target: Target, times: int) -> Tally:
    """Begin requests and say no more; the server ends them after its timeout."""
    tally = Tally(f"clients that stop in the middle of a request, given {REQUEST_TIMEOUT_S:g} s")
    beginnings = (
        b"P",
        b"POST /v1/chat/completions HTTP/1.1\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{",
        b"POST /setModel HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    )
    connections = [_connected(target, target.hang_s) for _ in range(times)]
    for number, connection in enumerate(connections):
        connection.sendall(beginnings[number % len(beginnings)])
    target.check(tally, "beginnings of requests")
    deadline_s = time.monotonic() + REQUEST_TIMEOUT_S + target.hang_s
    for number, connection in enumerate(connections):
        try:
            connection.settimeout(max(0.01, deadline_s - time.monotonic()))
            statuses = _STATUS.findall(_received(connection, deadline_s))
            tally.note(statuses[0].decode() if statuses else "connection closed")
        except TimeoutError:
            tally.note("still open")
            tally.lose(f"client {number} is not hung up on")
        except OSError:
            tally.note("connection closed")
        connection.close()
    return tally
