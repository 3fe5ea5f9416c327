"""What one client can take: connections, open requests, time to ask, time to read."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.live.server import LiveServer, user
from tests.live.test_bad_input import error_of

CHAT = "/v1/chat/completions"
STORY = {
    "messages": [user("Tell me a story.")],
    "stream": True,
    "ignore_eos": True,
    "max_tokens": 3000,
}


def rest_of(connection: socket.socket) -> bytes:
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while data := connection.recv(65536):
            received += data
    return received


def error_in(answer: bytes) -> dict[str, Any]:
    error: dict[str, Any] = json.loads(answer.split(b"\r\n\r\n", 1)[1])["error"]
    return error


@contextlib.contextmanager
def streaming(live: LiveServer, n: int) -> Iterator[list[httpx.Response]]:
    """Have `n` answers under way, each on a connection of its own."""
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(httpx.Client(base_url=live.url, timeout=60))
        responses = [stack.enter_context(client.stream("POST", CHAT, json=STORY)) for _ in range(n)]
        yield responses


# ---------------------------------------------------------------- how much


def test_a_client_has_so_many_requests_open_and_no_more() -> None:
    with LiveServer("--max-client-requests", "2") as live:
        live.wait_healthy()
        with streaming(live, 2) as running:
            assert [response.status_code for response in running] == [200, 200]
            refused = live.http.get("/models")
            error = error_of(refused, 429)
            assert (error["type"], error["code"]) == ("rate_limit_error", "too_many_requests")
            assert "max_client_requests" in error["message"]
            assert refused.headers["retry-after"] == "1"
            assert live.http.get("/health").status_code == 200
        live.wait_until(lambda: live.http.get("/models").status_code == 200)


def test_each_key_is_a_client_of_its_own() -> None:
    environment = {"DISTILLER_LLM_API_KEYS": "a:key-a-0123456789abc,b:key-b-0123456789abc"}
    with LiveServer("--max-client-requests", "1", environment=environment) as live:
        live.wait_healthy()
        of_a = {"Authorization": "Bearer key-a-0123456789abc"}
        of_b = {"Authorization": "Bearer key-b-0123456789abc"}
        with httpx.Client(base_url=live.url, timeout=60) as client:
            with client.stream("POST", CHAT, json=STORY, headers=of_a) as running:
                assert running.status_code == 200
                assert live.http.get("/models", headers=of_a).status_code == 429
                assert live.http.get("/models", headers=of_b).status_code == 200
            live.wait_until(lambda: live.http.get("/models", headers=of_a).status_code == 200)


def test_there_are_so_many_connections_and_no_more() -> None:
    with LiveServer("--max-connections", "2") as live:
        live.wait_healthy()
        with streaming(live, 2), live.connect() as refused:
            answer = rest_of(refused)
        assert answer.startswith(b"HTTP/1.1 503")
        assert error_in(answer)["code"] == "too_many_connections"
        assert "max_connections" in error_in(answer)["message"]
        live.wait_until(lambda: live.http.get("/health").status_code == 200)


def test_idle_connections_make_room_for_new_ones() -> None:
    request = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with LiveServer("--max-connections", "2") as live, contextlib.ExitStack() as stack:
        live.wait_healthy()
        connections = [stack.enter_context(live.connect()) for _ in range(6)]
        for connection in connections[-2:]:
            connection.sendall(request)
            assert connection.recv(4096).startswith(b"HTTP/1.1 200")
        assert rest_of(connections[0]) == b""


@pytest.mark.parametrize("n_bytes", [9_000, 1_000_000])
def test_too_large_a_header_is_refused_with_the_setting(server: LiveServer, n_bytes: int) -> None:
    with server.connect() as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * n_bytes)
        answer = rest_of(connection)
    if answer:  # where much more was sent than is read, the answer may be lost
        assert answer.startswith(b"HTTP/1.1 431")
        assert "max_header_bytes" in error_in(answer)["message"]
    assert server.http.get("/health").status_code == 200


def test_too_large_a_body_is_refused_with_the_setting(server: LiveServer) -> None:
    error = error_of(server.http.post(CHAT, content=b"x" * (8 * 1024 * 1024 + 1)), 413)
    assert "max_body_bytes" in error["message"]


# ---------------------------------------------------------------- how long


@pytest.fixture(scope="module")
def impatient() -> Iterator[LiveServer]:
    with LiveServer("--request-timeout-s", "1") as live:
        yield live.wait_healthy()


def fed_until_the_end(connection: socket.socket, *, drop: bytes) -> bytes:
    """Send a byte now and then until the server hangs up; return what it said."""
    connection.settimeout(0.2)
    received = b""
    while True:
        try:
            connection.sendall(drop)
            data = connection.recv(65536)
        except TimeoutError:
            continue
        except ConnectionError:
            return received
        if not data:
            return received
        received += data


def test_a_header_that_drips_is_not_waited_for(impatient: LiveServer) -> None:
    with impatient.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ")
        answer = fed_until_the_end(connection, drop=b"x")
    assert answer.startswith(b"HTTP/1.1 408")
    assert error_in(answer)["code"] == "request_timeout"


@pytest.mark.parametrize("framing", ["Content-Length: 1000000", "Transfer-Encoding: chunked"])
def test_a_body_that_drips_is_not_waited_for(impatient: LiveServer, framing: str) -> None:
    drop = b" " if "Length" in framing else b"1\r\n \r\n"
    with impatient.connect() as connection:
        connection.sendall(f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n".encode())
        answer = fed_until_the_end(connection, drop=drop)
    assert answer.startswith(b"HTTP/1.1 408")


def test_the_body_of_a_refused_request_is_not_swallowed_for_ever(impatient: LiveServer) -> None:
    head = f"POST {CHAT} HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 1000000\r\n\r\n"
    with impatient.connect() as connection:
        connection.sendall(head.encode())
        answer = fed_until_the_end(connection, drop=b" ")
    assert answer.startswith(b"HTTP/1.1 403")


def test_who_asks_and_never_reads_does_not_hold_a_connection_for_ever(
    impatient: LiveServer,
) -> None:
    request = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with impatient.connect() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        connection.settimeout(30)
        with pytest.raises(ConnectionError):
            connection.sendall(request * 1_000_000)  # more than is buffered on the way


def test_a_client_that_stops_reading_loses_its_stream_and_the_engine_its_request(
    impatient: LiveServer,
) -> None:
    body = json.dumps(STORY | {"n": 4, "logprobs": True, "top_logprobs": 20}).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nX-Request-ID: deaf\r\n"
    head += f"Content-Length: {len(body)}\r\n\r\n"
    with impatient.connect() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        connection.sendall(head.encode() + body)
        assert connection.recv(16).startswith(b"HTTP/1.1 200")
        line = impatient.wait_for_log("request", request_id="deaf")
        assert line["status"] == 499
        impatient.wait_until(lambda: impatient.health["engine"]["requests"] == 0)
    assert impatient.chat("Hello!", max_tokens=1)["usage"]["completion_tokens"] == 1
