"""A stream with a name goes on when its connection is lost, and its client comes back for it.

Covers `app.api.endpoints.streams`.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.live.server import LiveServer, user

CHAT = "/v1/chat/completions"
STREAM = "/v1/stream"
HEADER = "X-Conversation-Id"
KEYS = {"kitchen": "k" * 16, "garage": "g" * 16}


def story(**fields: Any) -> dict[str, Any]:
    body = {"messages": [user("Tell me a long story.")], "temperature": 0, "ignore_eos": True}
    return body | {"max_tokens": 300, "stream": True} | fields


def text(data: bytes) -> str:
    """Return the text of a whole stream."""
    events = data.decode().split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    chunks = [json.loads(event[6:]) for event in events[:-2] if event.startswith("data: {")]
    return "".join(each["choices"][0]["delta"].get("content") or "" for each in chunks)


def begin(server: LiveServer, name: str, n_bytes: int, **headers: str) -> bytes:
    """Begin a stream and hang up after so many bytes; return what was received."""
    received = b""
    headers = {HEADER: name, **headers}
    with server.http.stream("POST", CHAT, json=story(), headers=headers) as response:
        assert response.status_code == 200
        for data in response.iter_raw():
            received += data
            if len(received) >= n_bytes:
                break
    return received


def rest(server: LiveServer, name: str, offset: int) -> bytes:
    response = server.http.get(STREAM, params={"conv_id": name, "from": offset})
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    return response.content


def code(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


def test_what_is_read_in_two_parts_is_the_whole_stream(server: LiveServer) -> None:
    expected = text(server.http.post(CHAT, json=story()).content)
    received = begin(server, "two parts", 2000)
    state = server.http.post("/v1/streams/lookup", json={"conversation_ids": ["two parts", "x"]})
    assert [each["conversation_id"] for each in state.json()] == ["two parts"]
    whole = received + rest(server, "two parts", len(received))
    assert text(whole) == expected
    assert rest(server, "two parts", 0) == whole
    assert rest(server, "two parts", len(whole)) == b""


def test_it_outlives_the_engine(own_server: LiveServer) -> None:
    expected = text(own_server.http.post(CHAT, json=story()).content)
    received = begin(own_server, "killed", 2000)
    os.kill(own_server.engine_pid, signal.SIGKILL)
    assert text(received + rest(own_server, "killed", len(received))) == expected
    assert own_server.log("request_resumed")


def test_a_request_has_one_log_line_and_is_counted_when_it_ends(server: LiveServer) -> None:
    received = begin(server, "log line", 1000, **{"X-Request-ID": "log-line"})
    rest(server, "log line", len(received))
    line = server.wait_for_log("request", request_id="log-line")
    assert (line["status"], line["completion_tokens"]) == (200, 300)
    assert len([each for each in server.log("request") if each["request_id"] == "log-line"]) == 1


def test_an_end_on_request_frees_the_engine(server: LiveServer) -> None:
    begin(server, "ended", 100, **{"X-Request-ID": "ended"})
    assert server.http.delete(STREAM, params={"conv_id": "ended"}).status_code == 204
    assert server.http.delete(STREAM, params={"conv_id": "ended"}).status_code == 204
    assert server.wait_for_log("request", request_id="ended")["status"] == 499
    assert code(server.http.get(STREAM, params={"conv_id": "ended"})) == (404, "not_found")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, (400, "invalid_value")),
        ({"conv_id": "unheard of"}, (404, "not_found")),
        ({"conv_id": "refusals", "from": "x"}, (400, "invalid_value")),
        ({"conv_id": "refusals", "from": "-1"}, (400, "invalid_value")),
        ({"conv_id": "refusals", "from": "99999999"}, (400, "invalid_value")),
    ],
)
def test_what_cannot_be_resumed_is_refused(
    server: LiveServer, query: dict[str, str], expected: tuple[int, str]
) -> None:
    begin(server, "refusals", 100)
    assert code(server.http.get(STREAM, params=query)) == expected
    server.http.delete(STREAM, params={"conv_id": "refusals"})


def test_an_error_before_the_first_byte_has_its_status(server: LiveServer) -> None:
    body = story(max_tokens="many")
    assert server.http.post(CHAT, json=body, headers={HEADER: "wrong"}).status_code == 400
    body = story(messages=[user("word " * 9000)])
    response = server.http.post(CHAT, json=body, headers={HEADER: "long"})
    assert code(response) == (400, "context_length_exceeded")
    assert code(server.http.get(STREAM, params={"conv_id": "long"})) == (404, "not_found")
    response = server.http.post(CHAT, json=story(), headers={HEADER: "x" * 257})
    assert (response.status_code, response.json()["error"]["param"]) == (400, HEADER)


@pytest.fixture(scope="module")
def guarded() -> Iterator[LiveServer]:
    """A server of two keys, each of which may have two requests open."""
    environment = {
        "DISTILLER_LLM_API_KEYS": ",".join(f"{name}:{key}" for name, key in KEYS.items())
    }
    with LiveServer("--max-client-requests", "2", environment=environment) as live:
        live.http.headers["x-api-key"] = KEYS["kitchen"]
        yield live.wait_healthy()


def test_a_stream_belongs_to_its_key_and_counts_as_an_open_request(guarded: LiveServer) -> None:
    for name in ("one", "two"):
        begin(guarded, name, 100)
    assert code(guarded.http.get("/v1/models")) == (429, "too_many_requests")
    other = {"x-api-key": KEYS["garage"]}
    query = {"conv_id": "one"}
    assert code(guarded.http.get(STREAM, params=query, headers=other)) == (404, "not_found")
    assert guarded.http.delete(STREAM, params=query, headers=other).status_code == 204
    guarded.wait_until(lambda: guarded.http.get("/v1/models").status_code == 200)
    assert text(rest(guarded, "one", 0))
    guarded.http.delete(STREAM, params=query)


def test_a_lost_stream_ends_after_the_window() -> None:
    with LiveServer("--resume-window-s", "0.2") as live:
        live.wait_healthy()
        begin(live, "lost", 100, **{"X-Request-ID": "lost"})
        assert live.wait_for_log("request", request_id="lost")["status"] == 499


def test_a_stop_ends_a_lost_stream() -> None:
    with LiveServer() as live:
        live.wait_healthy()
        begin(live, "stopped", 100, **{"X-Request-ID": "stopped"})
        assert live.stop() == 0
        (line,) = [each for each in live.log("request") if each["request_id"] == "stopped"]
        assert line["status"] in (499, 503)
