"""The Responses dialect over HTTP, on the real service with engines that only pretend."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.dialects.responses.stream_order import StreamOrder, events_of
from tests.live.server import LiveServer
from tests.models.gguf_files import write_llama

KEY = "sixteen-characters"
OPENAI_ERROR = {"message", "type", "param", "code"}


class Service(LiveServer):
    """The real service with engines that only pretend."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        write_llama(folder / "first.gguf")
        (folder / "keys").write_text(f"me:{KEY}\n")
        super().__init__(
            *("--models-dir", str(folder), "--cache-dir", str(folder / "cache")),
            *("--model-name", "first.gguf", "--sse-ping-s", "0.02", *arguments),
            command=("-m", "tests.api.fake_service", "serve"),
        )

    def ask(self, order: str = "Hi", **fields: Any) -> httpx.Response:
        return self.http.post("/v1/responses", json={"input": order, **fields})


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(tmp_path_factory.mktemp("responses")) as service:
        service.wait_healthy()
        yield service


def assert_openais_error(response: httpx.Response, status: int, code: str) -> None:
    assert response.status_code == status
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-request-id"]
    error = response.json()["error"]
    assert error.keys() >= OPENAI_ERROR
    assert error["code"] == code


# ---------------------------------------------------------------- answers


@pytest.mark.parametrize("path", ["/v1/responses", "/responses"])
def test_a_whole_answer_is_a_response_object(live: Service, path: str) -> None:
    response = live.http.post(path, json={"input": "Hi"})
    assert response.status_code == 200
    body = response.json()
    assert (body["object"], body["status"]) == ("response", "completed")
    assert body["output"][0]["content"][0]["text"] == "Hi"
    assert body["usage"]["input_tokens_details"]["cached_tokens"] == 8


def test_a_stream_has_events_of_the_dialect(live: Service) -> None:
    response = live.ask(stream=True)
    assert response.headers["content-type"].startswith("text/event-stream")
    assert StreamOrder().take_all(events_of(response.content))["status"] == "completed"


def test_a_stream_that_waits_is_kept_alive_by_events(live: Service, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    order, n_states = StreamOrder(), 0
    body = {"input": f"wait {fifo}", "stream": True}
    with live.http.stream("POST", "/v1/responses", json=body) as response:
        held = b""
        for data in response.iter_bytes():
            held += data
            *blocks, held = held.split(b"\n\n")
            for event in events_of(b"\n\n".join(blocks) + b"\n\n") if blocks else ():
                order.take(event)
                if event["type"] == "response.in_progress":
                    n_states += 1
                    if n_states == 3:
                        fifo.write_bytes(b"go on")
    assert order.response["status"] == "completed"


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        (b"", 400, "invalid_value", "body"),
        (b"{", 400, "invalid_json", "body"),
        (b"[]", 400, "invalid_value", "body"),
        (b"{}", 400, "invalid_value", "input"),
        (b'{"input": 3}', 400, "invalid_value", "input"),
        (b'{"input": "Hi", "temperature": "x"}', 400, "invalid_value", "temperature"),
        (b'{"input": [{"role": "x"}]}', 400, "invalid_value", "input[0].role"),
        (
            b'{"input": "Hi", "previous_response_id": "resp_x"}',
            400,
            "previous_response_not_found",
            "previous_response_id",
        ),
    ],
)
@pytest.mark.parametrize("path", ["/v1/responses", "/v1/responses/input_tokens"])
def test_bad_input_is_refused(
    live: Service, path: str, body: bytes, status: int, code: str, param: str
) -> None:
    response = live.http.post(path, content=body)
    assert_openais_error(response, status, code)
    assert response.json()["error"]["param"] == param


@pytest.mark.parametrize("is_streamed", [False, True])
def test_what_the_engine_refuses_has_its_own_status(live: Service, is_streamed: bool) -> None:
    assert_openais_error(live.ask("refuse", stream=is_streamed), 400, "chat_template_error")


@pytest.mark.parametrize("is_streamed", [False, True])
@pytest.mark.parametrize(
    ("kind", "status", "code", "retry_after"),
    [
        ("QueueFull", 429, "queue_full", "3"),
        ("EngineDied", 503, "engine_died", "1"),
        ("RequestQuarantined", 500, "request_quarantined", None),
        ("ContextOverflow", 400, "context_length_exceeded", None),
    ],
)
def test_what_fails_before_the_first_byte_is_a_status(
    live: Service, kind: str, status: int, code: str, retry_after: str | None, is_streamed: bool
) -> None:
    response = live.ask(f"fail {kind}", stream=is_streamed)
    assert_openais_error(response, status, code)
    assert response.headers.get("retry-after") == retry_after


def test_what_fails_after_it_is_a_failed_response(live: Service, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    body = {"input": f"break {fifo}", "stream": True}
    stream = b""
    with live.http.stream("POST", "/v1/responses", json=body) as response:
        assert response.status_code == 200
        for data in response.iter_bytes():
            if b"output_text.delta" in data and b"output_text.delta" not in stream:
                fifo.write_bytes(b"go on")
            stream += data
    failed = StreamOrder().take_all(events_of(stream))
    assert failed["error"] == {"code": "chat_template_error", "message": "no such role"}
    assert failed["output"][0]["content"][0]["text"] == "Hi"


def test_a_web_socket_is_not_offered(live: Service) -> None:
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    response = live.http.get("/v1/responses", headers=upgrade)
    assert_openais_error(response, 405, "method_not_allowed")


def test_a_key_is_needed_where_there_are_keys(tmp_path: Path) -> None:
    with Service(tmp_path, "--api-keys-file", str(tmp_path / "keys")) as live:
        live.wait_healthy()
        response = live.ask()
        assert_openais_error(response, 401, "invalid_api_key")
        assert response.headers["www-authenticate"].startswith("Bearer")
        live.http.headers["x-api-key"] = KEY
        assert live.ask().status_code == 200
