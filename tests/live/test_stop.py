"""How the service ends: what is open is finished or told, and nothing is cut.

How long it takes is measured by `scripts/bench run --only stop`.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.live.server import NANO, LiveServer, user

CHAT = "/v1/chat/completions"
STORY = {
    "messages": [user("Tell me a story.")],
    "stream": True,
    "ignore_eos": True,
    "max_tokens": 3000,
}


@contextlib.contextmanager
def held_up(live: LiveServer) -> Iterator[Callable[[], None]]:
    """Keep the engine from going on, so that what it works on is still open."""
    engine_pid = live.engine_pid

    def go_on() -> None:
        os.kill(engine_pid, signal.SIGCONT)

    os.kill(engine_pid, signal.SIGSTOP)
    try:
        yield go_on
    finally:
        go_on()


def ask(live: LiveServer, body: dict[str, Any]) -> socket.socket:
    """Send a chat request over a connection of its own."""
    data = json.dumps(body).encode()
    head = (
        f"POST /chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(data)}\r\n\r\n"
    )
    connection = live.connect()
    connection.sendall(head.encode() + data)
    return connection


def rest_of(connection: socket.socket) -> bytes:
    received = b""
    while data := connection.recv(65536):
        received += data
    return received


def terminate(live: LiveServer) -> None:
    live.process.send_signal(signal.SIGTERM)


def chunks_of(raw: bytes) -> list[bytes]:
    """Return the chunks of a chunked body; it has to be whole."""
    chunks: list[bytes] = []
    while True:
        size, _, raw = raw.partition(b"\r\n")
        length = int(size, 16)
        chunk, raw = raw[:length], raw[length:]
        assert raw.startswith(b"\r\n")
        raw = raw[2:]
        if length == 0:
            assert raw == b""
            return chunks
        assert len(chunk) == length
        chunks.append(chunk)


def test_an_idle_service_ends_though_a_connection_is_kept(own_server: LiveServer) -> None:
    with own_server.connect():
        own_server.chat("Hello!", max_tokens=1)
        assert own_server.stop() == 0


def test_an_open_stream_ends_with_an_error_event_and_a_last_chunk(own_server: LiveServer) -> None:
    with ask(own_server, STORY) as connection:
        head = b""
        while b"data: " not in head:
            head += connection.recv(65536)
        with held_up(own_server):
            terminate(own_server)
            raw = head + rest_of(connection)
    headers, _, body = raw.partition(b"\r\n\r\n")
    assert b"transfer-encoding: chunked" in headers.lower()
    events = b"".join(chunks_of(body)).decode().rstrip("\n").split("\n\n")
    assert events[-1] == "data: [DONE]"
    assert json.loads(events[-2].removeprefix("data: "))["error"]["code"] == "service_stopping"
    assert own_server.stop() == 0


def test_the_openai_client_sees_the_error_and_no_broken_connection(own_server: LiveServer) -> None:
    client = openai.OpenAI(base_url=f"{own_server.url}/v1", api_key="none", max_retries=0)
    stream = client.chat.completions.create(
        model=NANO,
        messages=[{"role": "user", "content": "Tell me a story."}],
        stream=True,
        max_tokens=3000,
        extra_body={"ignore_eos": True},
    )
    next(stream)
    with held_up(own_server):
        terminate(own_server)
        with pytest.raises(openai.APIError, match="shutting down"):
            for _ in stream:
                pass
    assert own_server.stop() == 0


def test_a_short_request_is_finished(own_server: LiveServer) -> None:
    body = {"messages": [user("Tell me a story.")], "max_tokens": 20, "temperature": 0}
    expected = own_server.chat("Tell me a story.", max_tokens=20)["choices"]
    with held_up(own_server) as go_on, ask(own_server, body) as connection:
        own_server.wait_until(lambda: own_server.health["engine"]["requests"] == 1)
        terminate(own_server)
        own_server.wait_for_log("stopping")
        go_on()
        head, _, answer = rest_of(connection).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert json.loads(answer)["choices"] == expected
    assert own_server.stop() == 0
    assert not own_server.log("ending_requests")


def test_a_request_that_takes_too_long_is_told(own_server: LiveServer) -> None:
    body = {"messages": [user("Tell me a story.")]}
    with held_up(own_server), ask(own_server, body) as connection:
        own_server.wait_until(lambda: own_server.health["engine"]["requests"] == 1)
        terminate(own_server)
        head, _, answer = rest_of(connection).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503")
    assert b"retry-after" in head.lower()
    assert json.loads(answer)["error"]["code"] == "service_stopping"
    assert own_server.stop() == 0


@pytest.fixture
def patient_server() -> Iterator[LiveServer]:
    """A server that would give open requests a minute."""
    with LiveServer("--stop-timeout-s", "60") as live:
        yield live.wait_healthy()


def test_a_second_signal_leaves_open_requests_no_more_time(patient_server: LiveServer) -> None:
    with ask(patient_server, STORY) as connection:
        connection.recv(65536)
        with held_up(patient_server):
            terminate(patient_server)
            patient_server.wait_for_log("stopping")
            terminate(patient_server)
            assert rest_of(connection).endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
        assert patient_server.stop() == 0


def test_an_engine_that_dies_in_the_last_minute_is_not_waited_for(
    patient_server: LiveServer,
) -> None:
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(ask(patient_server, STORY)) for _ in range(5)]
        patient_server.wait_until(lambda: patient_server.health["engine"]["requests"] == 5)
        engine_pid = patient_server.engine_pid
        os.kill(engine_pid, signal.SIGSTOP)
        terminate(patient_server)
        patient_server.wait_for_log("stopping")
        os.kill(engine_pid, signal.SIGKILL)
        answers = [rest_of(connection) for connection in connections]
    assert all(b'"code":"service_stopping"' in answer for answer in answers)
    assert patient_server.stop() == 0
    assert not patient_server.log("request_resumed")


def test_nobody_new_is_accepted_while_the_last_are_served(patient_server: LiveServer) -> None:
    kept = patient_server.connect()
    with kept, ask(patient_server, STORY) as connection:
        connection.recv(65536)
        with held_up(patient_server):
            terminate(patient_server)
            patient_server.wait_for_log("stopping")
            with pytest.raises(ConnectionRefusedError):
                patient_server.connect()
            terminate(patient_server)


def test_a_request_on_a_connection_that_was_just_made_is_refused_not_cut(
    patient_server: LiveServer,
) -> None:
    with patient_server.connect() as connection:
        terminate(patient_server)
        patient_server.wait_for_log("stopping")
        body = b'{"messages":[{"role":"user","content":"Hi"}]}'
        request = (
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s"
        )
        connection.sendall(request % (len(body), body))
        head, _, answer = rest_of(connection).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503")
    assert b"connection: close" in head.lower()
    assert json.loads(answer)["error"]["code"] == "service_stopping"


def test_a_client_that_reads_no_more_keeps_nobody(own_server: LiveServer) -> None:
    with own_server.connect() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        data = json.dumps(STORY | {"n": 4}).encode()
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(data)}"
        )
        connection.sendall(head.encode() + b"\r\n\r\n" + data)
        own_server.wait_until(lambda: own_server.health["engine"]["requests"] == 1)
        assert own_server.stop() == 0


def test_a_service_can_be_stopped_while_the_model_is_loading() -> None:
    live = LiveServer()
    assert live.stop() == 0


def test_what_was_prefilled_is_on_disk_when_the_service_has_ended(tmp_path: Path) -> None:
    options = ("--cache-dir", str(tmp_path), "--disk-save-after-s", "3600")
    question = "Tell me everything about the colours of the LED, one after another. " * 6
    with LiveServer(*options) as live:
        live.wait_healthy().chat(question, max_tokens=4)
        assert live.stop() == 0
    with LiveServer(*options) as live:
        answer = live.wait_healthy().chat(question, max_tokens=4)
    assert answer["timings"]["tier"] == "disk"
