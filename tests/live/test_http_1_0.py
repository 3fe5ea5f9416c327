"""Clients of HTTP/1.0, such as MicroPython's, can read every stream."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from app.api.routes import DIALECTS, RouteTable
from tests.live.server import LiveServer, user

STREAMS = sorted(
    path for route in RouteTable(DIALECTS).documented if route.streams for path in route.paths
)
BODY: dict[str, object] = {
    "messages": [user("Hello!")],
    "prompt": "Hello!",
    "max_tokens": 4,
    "n_predict": 4,
}
BODY["ignore_eos"] = True


@pytest.fixture(scope="module")
def live() -> Iterator[LiveServer]:
    with LiveServer() as server:
        yield server.wait_healthy()


def exchange(live: LiveServer, path: str, **fields: object) -> tuple[bytes, bytes]:
    """Return header and body of a response, up to the end of the connection."""
    data = json.dumps(BODY | fields).encode()
    received = b""
    with live.connect() as connection:
        head = f"POST {path} HTTP/1.0\r\nContent-Length: {len(data)}\r\n\r\n"
        connection.sendall(head.encode() + data)
        while more := connection.recv(65536):
            received += more
    header, _, body = received.partition(b"\r\n\r\n")
    return header.lower(), body


@pytest.mark.parametrize("path", STREAMS)
def test_a_stream_has_no_chunks_and_ends_with_the_connection(live: LiveServer, path: str) -> None:
    header, body = exchange(live, path, stream=True)
    assert header.startswith(b"http/1.1 200 ")
    assert b"transfer-encoding" not in header
    assert b"connection: close" in header
    events = body.split(b"\n\n")
    assert events.pop() == b""
    assert len(events) > 1
    for event in events:
        data = event.removeprefix(b"data: ")
        assert data == b"[DONE]" or json.loads(data)


@pytest.mark.parametrize("path", STREAMS)
def test_whole_answers_and_errors_have_a_length(live: LiveServer, path: str) -> None:
    for fields in ({}, {"temperature": "hot"}, {"temperature": "hot", "stream": True}):
        header, body = exchange(live, path, **fields)
        assert b"content-length: %d" % len(body) in header
        assert json.loads(body)
