"""Owns the client of the measurements: bare sockets whose arriving bytes get a time.

While answers stream it only receives; everything is parsed afterwards, so that the client takes
as little as it can of the processors that are measured.
"""

from __future__ import annotations

import http.client
import json
import selectors
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

from scripts.benchmark.console import BenchFailed
from scripts.benchmark.streamed import Arrival, Streamed, parse_stream

_TIMEOUT_S = 600.0


class HttpClient:
    """Talks to one server.

    Args:
        url: scheme, host and port, as in `http://127.0.0.1:8000`.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname or "127.0.0.1", parts.port or 80)

    def connect(self) -> socket.socket:
        """Return a new connection."""
        try:
            connection = socket.create_connection(self._address, timeout=_TIMEOUT_S)
        except OSError as error:
            raise BenchFailed(f"nobody answers at {self._address}: {error}") from error
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def get(self, path: str) -> tuple[int, dict[str, Any]]:
        """Return status and JSON body; the status is 0 where nobody answers."""
        return self._exchange("GET", path, None)

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Return the JSON body of an answer.

        Raises:
            BenchFailed: the status is not 200.
        """
        status, answer = self._exchange("POST", path, json.dumps(body))
        if status != 200:
            raise BenchFailed(f"POST {path} was answered with {status}: {answer}")
        return answer

    def _exchange(self, method: str, path: str, body: str | None) -> tuple[int, dict[str, Any]]:
        connection = http.client.HTTPConnection(*self._address, timeout=_TIMEOUT_S)
        headers = {"Content-Type": "application/json", "Connection": "close"}
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        except (OSError, http.client.HTTPException):
            return 0, {}
        finally:
            connection.close()

    def open_stream(self, path: str, body: dict[str, Any]) -> OpenStream:
        """Send a streaming request; its answer is still to be received."""
        payload = json.dumps(body | {"stream": True}).encode()
        host, port = self._address
        head = (
            f"POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(payload)}\r\n\r\n"
        )
        connection = self.connect()
        began_s = time.perf_counter()
        connection.sendall(head.encode() + payload)
        return OpenStream(connection, began_s)

    def stream(self, path: str, body: dict[str, Any]) -> Streamed:
        """Send a streaming request and return its whole answer.

        Raises:
            BenchFailed: the status is not 200, or the stream holds an error.
        """
        stream = self.open_stream(path, body)
        receive([stream])
        return stream.answer()


class OpenStream:
    """A streaming request that was sent and whose answer comes in.

    Attributes:
        connection: closed when the answer has ended.
        arrivals: what came so far, and when.
    """

    def __init__(self, connection: socket.socket, began_s: float) -> None:
        self.connection = connection
        self.arrivals: list[Arrival] = []
        self.is_open = True
        self._began_s = began_s
        self._is_cut = False

    def take(self) -> None:
        """Receive what has arrived."""
        data = self.connection.recv(65536)
        if data:
            self.arrivals.append((time.perf_counter(), data))
        else:
            self.is_open = False
            self.connection.close()

    def cut(self) -> None:
        """Go away, as a client does that wants no more; does nothing after the end."""
        self._is_cut = self._is_cut or self.is_open
        self.is_open = False
        self.connection.close()

    def answer(self) -> Streamed:
        """Return what arrived.

        Raises:
            BenchFailed: the status is not 200, or the stream holds an error.
        """
        return parse_stream(self._began_s, self.arrivals, cut=self._is_cut)


def receive(streams: Sequence[OpenStream], until: Callable[[], bool] = lambda: False) -> None:
    """Receive on all streams until each has ended or `until` holds, whichever is first.

    Raises:
        BenchFailed: nothing arrived for a long time.
    """
    with selectors.DefaultSelector() as selector:
        for stream in streams:
            if stream.is_open:
                selector.register(stream.connection, selectors.EVENT_READ, stream)
        while selector.get_map() and not until():
            ready = selector.select(_TIMEOUT_S)
            if not ready:
                raise BenchFailed(f"nothing arrived for {_TIMEOUT_S:g} s")
            for key, _ in ready:
                key.data.take()
                if not key.data.is_open:
                    selector.unregister(key.fileobj)
