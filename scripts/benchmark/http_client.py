"""Owns the client of the measurements: a bare socket that notes when bytes arrive.

While an answer streams it only receives; everything is parsed afterwards, so that the client
takes no share of the figures.
"""

from __future__ import annotations

import http.client
import json
import socket
import time
from bisect import bisect_left
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from scripts.benchmark.console import BenchFailed

_TIMEOUT_S = 600.0
_DONE = b"[DONE]"


@dataclass(frozen=True)
class Streamed:
    """A streamed answer, read to its end.

    Attributes:
        began_s: when the request was sent, on `time.perf_counter`'s clock.
        events: arrival time and JSON body of each server-sent event.
    """

    began_s: float
    events: list[tuple[float, dict[str, Any]]]

    @property
    def ttft_ms(self) -> float:
        """Time from sending the request to the first piece of text."""
        return (self._first_text_s - self.began_s) * 1000.0

    @property
    def usage(self) -> dict[str, Any]:
        """Token counts as the server states them."""
        for _, event in reversed(self.events):
            if isinstance(event.get("usage"), dict):
                return dict(event["usage"])
        raise BenchFailed("the streamed answer states no usage")

    @property
    def n_tokens(self) -> int:
        """Tokens of the answer."""
        return int(self.usage["completion_tokens"])

    @property
    def tokens_per_s(self) -> float:
        """Speed of decode as the client sees it: tokens after the first one over their time."""
        seconds = self._finished_s - self._first_text_s
        if self.n_tokens < 2 or seconds <= 0.0:
            raise BenchFailed(f"an answer of {self.n_tokens} tokens is too short to measure")
        return (self.n_tokens - 1) / seconds

    @property
    def _first_text_s(self) -> float:
        for time_s, event in self.events:
            if any(choice["delta"].get("content") for choice in event.get("choices", ())):
                return time_s
        raise BenchFailed("the streamed answer holds no text")

    @property
    def _finished_s(self) -> float:
        for time_s, event in self.events:
            if any(choice.get("finish_reason") for choice in event.get("choices", ())):
                return time_s
        raise BenchFailed("the streamed answer has no end")


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
        connection = socket.create_connection(self._address, timeout=_TIMEOUT_S)
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

    def stream(self, path: str, body: dict[str, Any]) -> Streamed:
        """Send a streaming request and return its answer with arrival times.

        Raises:
            BenchFailed: the status is not 200, or the stream holds an error.
        """
        payload = json.dumps(body | {"stream": True}).encode()
        host, port = self._address
        head = (
            f"POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(payload)}\r\n\r\n"
        )
        arrivals: list[tuple[float, bytes]] = []
        with self.connect() as connection:
            began_s = time.perf_counter()
            connection.sendall(head.encode() + payload)
            while data := connection.recv(65536):
                arrivals.append((time.perf_counter(), data))
        return Streamed(began_s, _events(arrivals))


def _events(arrivals: list[tuple[float, bytes]]) -> list[tuple[float, dict[str, Any]]]:
    """Return time and body of the events in a response of chunked transfer coding."""
    raw = b"".join(data for _, data in arrivals)
    ends = [0]
    for _, data in arrivals:
        ends.append(ends[-1] + len(data))
    head, separator, _ = raw.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200 "):
        raise BenchFailed(f"a streaming request was answered with {raw[:400]!r}")
    events = []
    text = b""
    for end, chunk in _chunks(raw, len(head) + len(separator)):
        arrived_s = arrivals[bisect_left(ends, end) - 1][0]
        *complete, text = (text + chunk).split(b"\n\n")
        for block in complete:
            if not block.startswith(b"data: ") or block.endswith(_DONE):
                continue
            event = json.loads(block.removeprefix(b"data: "))
            if "error" in event:
                raise BenchFailed(f"the stream ended with an error: {event['error']}")
            events.append((arrived_s, event))
    return events


def _chunks(raw: bytes, at: int) -> list[tuple[int, bytes]]:
    """Return the chunks from offset `at` on, each with the offset of its end in `raw`."""
    chunks: list[tuple[int, bytes]] = []
    while True:
        line_end = raw.find(b"\r\n", at)
        if line_end < 0:
            raise BenchFailed("the connection broke in the middle of a stream")
        size = int(raw[at:line_end].split(b";")[0], 16)
        if size == 0:
            return chunks
        begin = line_end + 2
        at = begin + size + 2
        chunks.append((begin + size, raw[begin : begin + size]))
