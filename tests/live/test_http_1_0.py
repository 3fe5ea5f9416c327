"""Clients of HTTP/1.0, such as MicroPython's, can read every stream."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from app.api.routes import DIALECTS, RouteTable
from tests.live.server import NANO, LiveServer, user

CHANGES_MODELS = {"/api/create"}
LACKS_TOKENS = {"/infill"}  # the bundled model has none to fill in the middle
STREAMS = sorted(
    path
    for route in RouteTable(DIALECTS).documented
    if route.streams and route.method == "post"
    for path in {*route.paths} - CHANGES_MODELS - LACKS_TOKENS
)
BODY: dict[str, object] = {
    "model": NANO,
    "messages": [user("Hello!")],
    "prompt": "Hello!",
    "input": "Hello!",
    "max_tokens": 4,
    "n_predict": 4,
    "max_output_tokens": 4,
    "options": {"num_predict": 4},
    "ignore_eos": True,
    "stream": False,
}
WRONG = {"temperature": "hot", "options": {"temperature": "hot"}}


@pytest.fixture(scope="module")
def live() -> Iterator[LiveServer]:
    with LiveServer() as server:
        yield server.wait_healthy()


def exchange(live: LiveServer, path: str, **fields: object) -> tuple[bytes, bytes]:
    """Return header and body of a response, up to the end of the connection."""
    given = BODY | fields
    if path.endswith("/responses"):
        del given["prompt"]  # means a stored one there
    data = json.dumps(given).encode()
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
    is_sse = b"text/event-stream" in header
    events = body.split(b"\n\n" if is_sse else b"\n")
    assert events.pop() == b""
    assert len(events) > 1
    for event in events:
        data = event.splitlines()[-1].removeprefix(b"data: ")
        assert data == b"[DONE]" or json.loads(data)


@pytest.mark.parametrize("path", STREAMS)
def test_whole_answers_and_errors_have_a_length(live: LiveServer, path: str) -> None:
    wrong = {"model": 1} if path == "/api/pull" else WRONG
    for fields in ({}, wrong, wrong | {"stream": True}):
        header, body = exchange(live, path, **fields)
        assert b"content-length: %d" % len(body) in header
        assert json.loads(body)
