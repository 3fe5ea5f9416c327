"""Anthropic's dialect on the real service with engines that only pretend: the bad input table.

Covers `app.api.dialects.anthropic.messages`.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.dialects.anthropic.anthropic_requests import Reading, events_of
from tests.live.server import LiveServer
from tests.models.gguf_files import write_llama

PATH = "/v1/messages"
COUNT = "/v1/messages/count_tokens"
KEY = "key-of-the-tests-0123456789"


class Service(LiveServer):
    """The real service with engines that only pretend."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self._notes = folder / "notes"
        write_llama(folder / "first.gguf")
        super().__init__(
            *("--models-dir", str(folder), "--cache-dir", str(folder / "cache")),
            *("--model-name", "first.gguf", "--sse-ping-s", "0.02"),
            command=("-m", "tests.api.fake_service", "serve"),
            environment={"FAKE_ENGINE_NOTES": str(self._notes), **environment},
        )

    def ask(self, content: str, path: str = PATH, **fields: Any) -> httpx.Response:
        body = {"messages": [{"role": "user", "content": content}], **fields}
        return self.http.post(path, json=body)

    def told(self) -> list[Any]:
        """Return the messages of each request that the engine was sent."""
        told = map(json.loads, self._notes.read_text().splitlines())
        texts = [each["messages"] for each in told if each["type"] == "Generate"]
        return [json.loads(base64.b64decode(text)) for text in texts]


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(tmp_path_factory.mktemp("anthropic")) as service:
        service.wait_healthy()
        yield service


def error_of(response: httpx.Response, status: int) -> dict[str, Any]:
    """Check the one shape of errors and return its inner object."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert body.keys() == {"type", "error", "request_id"}
    assert body["type"] == "error"
    assert body["request_id"] == response.headers["request-id"]
    error: dict[str, Any] = body["error"]
    return error


def read(response: httpx.Response) -> Reading:
    """Return a client that has read a stream, whose events were in order."""
    assert response.headers["content-type"].startswith("text/event-stream")
    reading = Reading()
    for event in events_of(response.content):
        reading.read(event)
    assert reading.is_over
    return reading


# ---------------------------------------------------------------- answers


def test_an_answer_is_whole_or_streamed(live: Service) -> None:
    whole = live.ask("hello", model="first.gguf").json()
    assert whole["content"] == [{"type": "text", "text": "Hi"}]
    assert (whole["model"], whole["stop_reason"]) == ("first.gguf", "end_turn")
    streamed = read(live.ask("hello", model="first.gguf", stream=True)).message
    assert streamed is not None
    assert {**streamed, "id": whole["id"]} == whole


def test_the_query_and_anthropics_headers_change_nothing(live: Service) -> None:
    headers = {"anthropic-version": "2023-06-01", "anthropic-beta": "a,b"}
    body = {"messages": [{"role": "user", "content": "hello"}]}
    response = live.http.post(f"{PATH}?beta=true", json=body, headers=headers)
    assert response.status_code == 200
    assert response.headers["request-id"]


def test_tokens_are_counted(live: Service) -> None:
    assert live.ask("hello", COUNT, max_tokens=5).json() == {"input_tokens": 10}


def test_silence_is_filled_with_pings_once_the_message_has_begun(
    live: Service, tmp_path: Path
) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    body = {"messages": [{"role": "user", "content": f"wait {fifo}"}], "stream": True}
    with live.http.stream("POST", PATH, json=body) as response:
        received = response.iter_raw()
        sent = next(received)
        assert sent.startswith(b"event: message_start\n")
        while b"event: ping\n" not in sent:
            sent += next(received)
        fifo.write_bytes(b"")
        sent += b"".join(received)
    reading = Reading()
    for event in events_of(sent):
        reading.read(event)
    assert reading.is_over


def test_reasoning_is_signed_with_a_key_that_only_the_service_can_read(live: Service) -> None:
    live.ask("hello")
    (file,) = Path(live.log("listening")[0]["models_dir"]).glob("cache/*.key")
    assert file.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("stream", [False, True])
def test_a_thread_goes_on_from_any_of_its_answers(live: Service, *, stream: bool) -> None:
    first = live.ask("hello", system="Be brief.", thread={"type": "create"}, stream=stream)
    answer = read(first).message if stream else first.json()
    assert answer is not None
    going_on = {"type": "continue", "previous_message_id": answer["id"]}
    for _ in range(2):
        assert live.ask("and?", thread=going_on).json()["content"] == answer["content"]
    assert live.told()[-1] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "Hi"},
        {"role": "user", "content": "and?"},
    ]


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize("path", [PATH, COUNT])
@pytest.mark.parametrize(
    ("fields", "status", "kind", "param"),
    [
        ({"messages": []}, 400, "invalid_request_error", "messages"),
        ({"messages": [{"role": "user"}, 5]}, 400, "invalid_request_error", "messages[1]"),
        ({"max_tokens": "x"}, 400, "invalid_request_error", "max_tokens"),
        ({"model": "no-such-model"}, 404, "not_found_error", "model"),
        (
            {"thread": {"type": "continue", "previous_message_id": "msg_1"}},
            404,
            "not_found_error",
            "thread.previous_message_id",
        ),
    ],
)
def test_wrong_input_has_anthropics_shape(
    live: Service, path: str, fields: dict[str, Any], status: int, kind: str, param: str
) -> None:
    error = error_of(live.ask("hello", path, **fields), status)
    assert (error["type"], error["param"]) == (kind, param)


@pytest.mark.parametrize("body", [b"", b"{", b"[]"])
def test_a_body_that_is_no_object_is_refused(live: Service, body: bytes) -> None:
    error = error_of(live.http.post(PATH, content=body), 400)
    assert error["param"] == "body"


def test_other_methods_and_paths_below_have_the_shape_too(live: Service) -> None:
    assert error_of(live.http.get(PATH), 405)["type"] == "invalid_request_error"
    assert error_of(live.http.post(f"{PATH}/batches"), 404)["type"] == "not_found_error"


def test_a_body_that_is_too_large_is_told(live: Service) -> None:
    response = live.http.post(PATH, content=b" " * (8 * 2**20 + 1))
    assert error_of(response, 413)["type"] == "request_too_large"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("failure", "status", "kind", "retry"),
    [
        ("QueueFull", 429, "rate_limit_error", "3"),
        ("EngineUnavailable", 503, "overloaded_error", "1"),
        ("ContextOverflow", 400, "invalid_request_error", None),
        ("DeadlineExceeded", 504, "timeout_error", None),
        ("EngineDied", 503, "overloaded_error", "1"),
        ("RequestQuarantined", 500, "api_error", None),
    ],
)
def test_an_error_before_the_first_byte_has_its_status(
    live: Service, *, stream: bool, failure: str, status: int, kind: str, retry: str | None
) -> None:
    response = live.ask(f"fail {failure}", stream=stream)
    error = error_of(response, status)
    assert error["type"] == kind
    assert response.headers.get("Retry-After") == retry
    if failure == "ContextOverflow":
        assert error["message"] == "prompt is too long: 700 tokens > 512 maximum"


def test_an_error_after_the_first_byte_is_the_last_event(live: Service, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    body = {"messages": [{"role": "user", "content": f"break {fifo}"}], "stream": True}
    with live.http.stream("POST", PATH, json=body) as response:
        received = response.iter_raw()
        sent = next(received)
        fifo.write_bytes(b"")
        sent += b"".join(received)
        request_id = response.headers["request-id"]
    events = events_of(sent)
    reading = Reading()
    for event in events:
        reading.read(event)
    assert reading.is_over
    assert reading.error is not None
    assert reading.error["type"] == "invalid_request_error"
    assert events[-1]["request_id"] == request_id


def test_without_its_key_a_client_is_refused(tmp_path: Path) -> None:
    with Service(tmp_path, DISTILLER_LLM_API_KEYS=f"test:{KEY}") as service:
        refused = service.ask("hello")
        assert error_of(refused, 401)["type"] == "authentication_error"
        for headers in ({"x-api-key": KEY}, {"Authorization": f"Bearer {KEY}"}):
            service.wait_until(
                lambda headers=headers: (  # type: ignore[misc]
                    service.http.post(
                        COUNT,
                        json={"messages": [{"role": "user", "content": "hello"}]},
                        headers=headers,
                    ).status_code
                    == 200
                )
            )
