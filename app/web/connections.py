"""Owns the limits on connections: their number, and the time to send a request or read a response.

Sanic only has idle timeouts: a client that sends a byte now and then (slowloris), or never reads,
would keep its connection forever. Must not know requests or responses.
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

_CHECK_INTERVAL_S = 1.0
_LINGER_S = 1.0


class ConnectionGuard:
    """Creates the protocol of each connection, and closes connections that are too slow.

    At the limit, a new connection replaces the one that has been idle for the longest time.

    Args:
        connections: returns the open ones.
        most: returns the maximum number of connections.
        serve: creates the protocol of an accepted connection.
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
        """Return the protocol that serves a new connection, or the one that refuses it."""
        most = self._most()
        connections = list(self._connections())
        if len(connections) >= most and not _make_room(connections):
            return _Refusal(most)
        protocol: asyncio.Protocol = self._serve(**arguments)
        return protocol

    async def watch(self, timeout_s: Callable[[], float]) -> None:
        """Check the connections periodically; runs until cancelled.

        Args:
            timeout_s: returns the timeout for receiving a request and for writing a response.
        """
        while True:
            await asyncio.sleep(min(_CHECK_INTERVAL_S, timeout_s() / 2))
            self.check(time.monotonic(), timeout_s())

    def check(self, now_s: float, timeout_s: float) -> None:
        """Close the connections that have waited longer than `timeout_s` for the client."""
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
    """Close the connection that has been idle for the longest time, if any."""
    idle = [connection for connection in connections if _is_idle(connection)]
    if not idle:
        return False
    min(idle, key=lambda connection: float(connection._time)).close()
    return True


def _is_idle(connection: Any) -> bool:
    """Return whether a connection is idle and not closing yet."""
    http = connection.http
    if http is None or connection.transport is None or connection.transport.is_closing():
        return False
    return http.stage is Stage.IDLE and not http.request_body


def _waited_for(connection: Any) -> tuple[Stage, int] | None:
    """Return the stage and number of the request that waits for the client, or None.

    It waits for the rest of the header, for the rest of a body that is discarded, or for the client
    to read earlier responses.
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
    connection._task.cancel()  # as Sanic does on timeouts; the response is the exception


class _Refusal(asyncio.Protocol):
    """Answers 503 at the connection limit, then closes."""

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
        """Answer at once, then linger: closing with unread data would reset the connection."""
        transport.write(self._answer)
        transport.write_eof()
        asyncio.get_running_loop().call_later(_LINGER_S, transport.abort)
