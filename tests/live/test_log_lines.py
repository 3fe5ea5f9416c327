"""However an exchange ends, its one log line has a status and the error code that belongs to it."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.live.server import LiveServer, user

STORY = {"messages": [user("Tell me a story.")], "max_tokens": 3000, "ignore_eos": True}
RAW = {"prompt": "Once", "max_tokens": 3000, "ignore_eos": True}
LONG = {
    "/v1/chat/completions": STORY,
    "/chat/completions": STORY,
    "/v1/completions": RAW,
    "/completion": {"prompt": "Once", "n_predict": 3000, "ignore_eos": True},
}
GONE = (499, "client_closed_request")


@pytest.fixture(scope="module")
def live() -> Iterator[LiveServer]:
    limits = ("--request-timeout-s", "1", "--max-body-bytes", "20000", "--parallel", "1")
    with LiveServer(*limits, "--n-ctx", "4096") as server:
        yield server.wait_healthy()


def send(
    live: LiveServer, path: str, body: Any, name: str, *, length: object = None
) -> socket.socket:
    """Send a request by hand and return its connection."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nX-Request-ID: {name}\r\n"
    head += f"Content-Length: {len(data) if length is None else length}\r\n\r\n"
    connection = live.connect()
    connection.sendall(head.encode() + data)
    return connection


def logged(live: LiveServer, name: str) -> tuple[int, str | None]:
    """Return the status and error code of a request's log line."""
    line = live.wait_for_log("request", request_id=name)
    return line["status"], line.get("error_code")


def n_requests(live: LiveServer) -> int:
    requests: int = live.health["engine"]["requests"]
    return requests


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("path", LONG)
def test_a_client_that_hangs_up_is_named_in_the_log(
    live: LiveServer, path: str, stream: bool
) -> None:
    name = f"{path.replace('/', '.')}.{stream}"
    body = LONG[path] | {"stream": stream}
    live.wait_until(lambda: n_requests(live) == 0)
    running = send(live, path, body, f"run{name}")
    live.wait_until(lambda: n_requests(live) == 1)
    queued = send(live, path, body, f"queue{name}")
    live.wait_until(lambda: n_requests(live) == 2)
    queued.close()
    assert logged(live, f"queue{name}") == GONE
    running.close()
    assert logged(live, f"run{name}") == GONE


def test_a_client_that_hangs_up_within_its_body_is_named_in_the_log(live: LiveServer) -> None:
    send(live, "/v1/chat/completions", STORY, "half", length=5000).close()
    assert logged(live, "half") == GONE


@pytest.mark.parametrize(
    ("name", "body", "length", "wanted"),
    [
        ("slow", STORY, 5000, (408, "request_timeout")),
        ("large", b"x" * 30000, None, (413, "request_too_large")),
        ("broken", b"{", None, (400, "invalid_json")),
        ("wrong", {"messages": []}, None, (400, "invalid_value")),
        ("fine", STORY | {"max_tokens": 1, "n": 1}, None, (200, None)),
    ],
)
def test_what_a_client_gets_is_what_the_log_says(
    live: LiveServer, name: str, body: Any, length: int | None, wanted: tuple[int, str | None]
) -> None:
    with send(live, "/v1/chat/completions", body, name, length=length) as connection:
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 %d " % wanted[0])
    assert logged(live, name) == wanted


@pytest.mark.parametrize(
    "sent",
    [
        b"GARBAGE\r\n\r\n",
        b"GET / HTTP/3.0\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nx: " + b"y" * 9000 + b"\r\n\r\n",
        b"POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n",
        b"POST /tokenize HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /tokenize HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        b"POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nExpect: x\r\n\r\n",
    ],
)
def test_malformed_http_is_logged_with_the_code_that_the_client_gets(
    live: LiveServer, sent: bytes
) -> None:
    with live.connect() as connection:
        connection.sendall(sent)
        answer = connection.recv(65536)
    status = int(answer.split(b" ")[1])
    code = json.loads(answer.split(b"\r\n\r\n", 1)[1])["error"]["code"]
    (request_id,) = (
        line.partition(b":")[2].strip().decode()
        for line in answer.split(b"\r\n")
        if line.lower().startswith(b"x-request-id")
    )
    assert logged(live, request_id) == (status, code)
    assert 400 <= status < 500
    assert code != "internal_error"


@pytest.mark.parametrize("path", ["/tokenize", "/apply-template", "/restore_cache", "/setModel"])
def test_no_endpoint_calls_a_client_that_hangs_up_an_internal_error(
    live: LiveServer, path: str
) -> None:
    bodies = {"/tokenize": {"content": "x " * 5000}, "/setModel": {"model_name": "none"}}
    name = f"at-once{path.replace('/', '.')}"
    send(live, path, bodies.get(path, {"messages": STORY["messages"]}), name).close()
    status, code = logged(live, name)
    assert (status, code) == GONE if status == 499 else code != "internal_error"


def test_requests_that_a_stop_ends_are_logged_as_such() -> None:
    with LiveServer("--stop-timeout-s", "0") as live:
        live.wait_healthy()
        connections = [
            send(live, path, LONG[path] | {"stream": stream}, f"{number}{stream}")
            for number, path in enumerate(LONG)
            for stream in (True, False)
        ]
        live.wait_until(lambda: n_requests(live) == len(connections))
        live.process.terminate()
        for number in range(len(LONG)):
            for stream in (True, False):
                assert logged(live, f"{number}{stream}") == (503, "service_stopping")
        for connection in connections:
            connection.close()
