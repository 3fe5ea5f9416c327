"""Ollama's dialect on the real service with engines that only pretend: faults, pings, keys."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.dialects.ollama.ndjson_stream import read_stream
from tests.live.server import LiveServer
from tests.models.gguf_files import write_llama

PATHS = ("/api/chat", "/api/generate")
KEY = "key-of-the-tests-0123456789"
each_path = pytest.mark.parametrize("path", PATHS)
each_way = pytest.mark.parametrize("stream", [False, True])


class Service(LiveServer):
    """The real service with engines that only pretend."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        write_llama(folder / "first.gguf")
        super().__init__(
            *("--models-dir", str(folder), "--model-name", "first.gguf", "--sse-ping-s", "0.02"),
            *arguments,
            command=("-m", "tests.api.fake_service", "serve"),
        )

    def ask(self, path: str, content: str, **fields: Any) -> httpx.Response:
        return self.http.post(path, content=body_of(content, **fields))


def body_of(content: str, **fields: Any) -> str:
    messages = [{"role": "user", "content": content}]
    return json.dumps({"model": "first", "messages": messages, "prompt": content, **fields})


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(tmp_path_factory.mktemp("ollama")) as service:
        service.wait_healthy()
        yield service


def error_of(response: httpx.Response, status: int) -> str:
    """Check the one shape of errors and return the text."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert body.keys() == {"error"}
    text: str = body["error"]
    return text


@each_path
def test_an_answer_is_whole_or_streamed(live: Service, path: str) -> None:
    whole = live.ask(path, "hello", stream=False).json()
    text = whole["response"] if path == "/api/generate" else whole["message"]["content"]
    stream = read_stream(live.ask(path, "hello").content)
    assert stream.text == text == "Hi"
    assert stream.last
    assert stream.last["model"] == whole["model"] == "first"


@each_path
@each_way
@pytest.mark.parametrize(
    ("kind", "status", "text"),
    [
        ("ContextOverflow", 400, "no such role"),
        ("InvalidRequest", 400, "no such role"),
        ("TemplateRefused", 400, "no such role"),
        ("QueueFull", 503, "server busy, please try again."),
        ("EngineDied", 503, "no such role"),
    ],
)
def test_what_an_engine_refuses_has_its_status_also_where_a_stream_was_asked_for(
    live: Service, path: str, kind: str, status: int, text: str, *, stream: bool
) -> None:
    response = live.ask(path, f"fail {kind}", stream=stream)
    assert error_of(response, status).startswith(text)
    assert ("Retry-After" in response.headers) == (status == 503)


@each_path
def test_a_fault_after_the_first_byte_is_the_last_line(
    live: Service, tmp_path: Path, path: str
) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with live.http.stream("POST", path, content=body_of(f"break {fifo}")) as response:
        assert response.status_code == 200
        received = response.iter_raw()
        sent = next(received)
        fifo.write_bytes(b"")
        sent += b"".join(received)
    stream = read_stream(sent)
    assert (stream.text, stream.last) == ("Hi", {"error": "no such role"})


@each_path
@each_way
def test_a_fault_before_the_first_byte_has_its_status(
    live: Service, path: str, *, stream: bool
) -> None:
    assert error_of(live.ask(path, "break", stream=stream), 400) == "no such role"


@each_path
def test_silence_is_filled_with_spaces_in_front_of_a_line(
    live: Service, tmp_path: Path, path: str
) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with live.http.stream("POST", path, content=body_of(f"wait {fifo}")) as response:
        received = response.iter_raw()
        sent = next(received)
        while not sent.endswith(b"  "):
            sent += next(received)
        fifo.write_bytes(b"")
        sent += b"".join(received)
    assert read_stream(sent).text == "Hi"


def test_a_key_is_asked_for_at_all_paths(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"laptop:{KEY}\n")
    with Service(tmp_path, "--api-keys-file", str(keys)) as live:
        live.wait_healthy()
        for path in (*PATHS, "/api/embed", "/api/tokenize", "/api/nothing"):
            response = live.ask(path, "hello")
            assert "API key is required" in error_of(response, 401)
            assert response.headers["WWW-Authenticate"] == "Bearer"
        live.http.headers["Authorization"] = f"Bearer {KEY}"
        assert live.ask(PATHS[0], "hello", stream=False).json()["done"] is True
