"""Owns what connections may take: how many there are, and how long requests and answers wait.

Sanic measures silence only: who sends a byte now and then keeps a connection for days, and so does
who asks and never reads. It must not know what is asked or answered.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterable
from typing import Any

from sanic.exceptions import RequestTimeout
from sanic.http.constants import Stage

from app.web.sanic_patches import Connection

_LOOK_EVERY_S = 1.0
_LAST_WORDS_S = 1.0


class ConnectionGuard:
    """Makes the protocol of each new connection, and ends those that take too long to ask or read.

    Where there are too many, the longest idle one makes room for a new one.

    Args:
        connections: returns what is open.
        most: returns how many connections may be open.
        serve: makes the protocol of one that is served.
    """

    def __init__(
        self,
        connections: Callable[[], Iterable[Any]],
        most: Callable[[], int],
        serve: Callable[..., Any] = Connection,
    ) -> None:
        self._connections = connections
        self._most = most
        self._serve = serve
        self._arriving: dict[Any, tuple[Any, float]] = {}

    def protocol(self, **arguments: Any) -> asyncio.Protocol:
        """Return what serves a new connection, or what refuses it."""
        most = self._most()
        connections = list(self._connections())
        if len(connections) >= most and not _make_room(connections):
            return _Refusal(most)
        protocol: asyncio.Protocol = self._serve(**arguments)
        return protocol

    async def watch(self, timeout_s: Callable[[], float]) -> None:
        """Look at the connections again and again; runs until it is cancelled.

        Args:
            timeout_s: tells how long a request may be on its way, and an answer unread.
        """
        while True:
            await asyncio.sleep(min(_LOOK_EVERY_S, timeout_s() / 2))
            self.look(time.monotonic(), timeout_s())

    def look(self, now_s: float, timeout_s: float) -> None:
        """End the connections where one request or answer waits longer for the client."""
        seen, self._arriving = self._arriving, {}
        for connection in list(self._connections()):
            phase = _waited_for(connection)
            if phase is None:
                continue
            before, since_s = seen.get(connection, (phase, now_s))
            since_s = since_s if before == phase else now_s
            if now_s - since_s > timeout_s:
                _end(connection, phase)
            else:
                self._arriving[connection] = phase, since_s


def _make_room(connections: list[Any]) -> bool:
    """Close the connection on which nothing happened for the longest time, if one is idle."""
    idle = [connection for connection in connections if _is_idle(connection)]
    if not idle:
        return False
    min(idle, key=lambda connection: float(connection._time)).close()
    return True


def _is_idle(connection: Any) -> bool:
    """Return whether a connection can make room; one that is closed already makes none."""
    http = connection.http
    if http is None or connection.transport is None or connection.transport.is_closing():
        return False
    return http.stage is Stage.IDLE and not http.request_body


def _waited_for(connection: Any) -> tuple[Stage, int] | None:
    """Return which part of which request or answer waits for the client, or None.

    That is a request's header, the rest of a body that is only read to be thrown away, or an answer
    that cannot be written as long as the client does not read those before it.
    """
    http = connection.http
    if http is None:
        return None
    is_arriving = http.stage is Stage.REQUEST or (http.stage is Stage.IDLE and http.request_body)
    is_answered = http.stage in (Stage.HANDLER, Stage.RESPONSE)
    if is_arriving or (is_answered and not connection._can_write.is_set()):
        return http.stage, connection.state["requests_count"]
    return None


def _end(connection: Any, phase: tuple[Stage, int]) -> None:
    if phase[0] is not Stage.REQUEST:
        connection.abort()
        return
    connection.http.exception = RequestTimeout("The request header did not arrive in time")
    connection._task.cancel()  # what Sanic does after silence; it answers with the exception


class _Refusal(asyncio.Protocol):
    """Says that there are too many connections, and hangs up."""

    def __init__(self, most: int) -> None:
        message = f"The server has {most} connections open already (setting max_connections)"
        error = {
            "message": message,
            "type": "server_error",
            "param": None,
            "code": "too_many_connections",
        }
        body = json.dumps({"error": error, "detail": message}).encode()
        self._answer = (
            b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n"
            b"Retry-After: 1\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b"
            % (len(body), body)
        )

    def connection_made(self, transport: Any) -> None:
        """Answer before anything was asked; what comes is read, or the answer could get lost."""
        transport.write(self._answer)
        transport.write_eof()
        asyncio.get_running_loop().call_later(_LAST_WORDS_S, transport.abort)
