"""Owns the time from SIGTERM to the end of all processes, when no request runs."""

from __future__ import annotations

import socket
from contextlib import ExitStack

from scripts.benchmark.console import BenchFailed, say
from scripts.benchmark.plan import Plan
from scripts.benchmark.results import Result, Target
from scripts.benchmark.server import ServerUnderTest

_REQUEST = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"


def measure(plan: Plan) -> list[Result]:
    """Stop servers in turn without and with an idle keep-alive connection."""
    alone: list[float] = []
    connected: list[float] = []
    for repeat in range(plan.n_repeats):
        alone.append(_stop_ms(plan, keep_connection=False))
        connected.append(_stop_ms(plan, keep_connection=True))
        say(f"stop {repeat + 1}/{plan.n_repeats}: {alone[-1]:.0f} and {connected[-1]:.0f} ms")
    target = Target(1000, of="ours")
    return [
        Result("stop", "ms", alone, target),
        Result("stop (keep-alive)", "ms", connected, target, notes=["one idle connection open"]),
    ]


def _stop_ms(plan: Plan, *, keep_connection: bool) -> float:
    with plan.small_server() as server, ExitStack() as open_connections:
        if keep_connection:
            open_connections.enter_context(_idle_connection(server))
        return server.stop_ms()


def _idle_connection(server: ServerUnderTest) -> socket.socket:
    """Return a connection that had one answer and stays open."""
    connection = server.client.connect()
    connection.sendall(_REQUEST)
    if not connection.recv(65536).startswith(b"HTTP/1.1 200"):
        connection.close()
        raise BenchFailed("the server did not answer on a connection that is to stay open")
    return connection
