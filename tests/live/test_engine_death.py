"""The engine may die at any moment; the HTTP process stays and the next request is answered."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.live.server import MODELS, NANO, LiveServer, chunks, user

CHAT = "/v1/chat/completions"
LONG = {"messages": [user("Tell me a long story.")], "temperature": 2.0, "stream": True}


STORY = {
    "messages": [user("Tell me a long story.")],
    "max_tokens": 400,
    "ignore_eos": True,
    "temperature": 0,
}
KINDS: dict[str, dict[str, Any]] = {
    "greedy": {},
    "drawn with a seed": {"temperature": 1.2, "seed": 7, "repeat_penalty": 1.1, "top_k": 50},
    "logprobs": {"logprobs": True, "top_logprobs": 2},
    "held to a schema": {
        "ignore_eos": False,
        "response_format": {
            "type": "json_schema",
            "json_schema": {
                "name": "list",
                "schema": {
                    "type": "array",
                    "items": {"enum": ["a long word", "another word"]},
                    "minItems": 30,
                    "maxItems": 30,
                },
            },
        },
    },
}


def told(pieces: Iterator[dict[str, Any]]) -> Iterator[tuple[int, str, list[Any]]]:
    """Yield the choice, text and logprobs of each piece of a stream."""
    for piece in pieces:
        for choice in piece["choices"]:
            logprobs = (choice["logprobs"] or {}).get("content") or []
            yield choice["index"], choice["delta"].get("content") or "", logprobs


def whole(parts: list[tuple[int, str, list[Any]]]) -> dict[int, tuple[str, list[str]]]:
    """Return the text of each choice, and the tokens that came with logprobs."""
    found = {index: ("", [""]) for index, _, _ in parts}
    for index, text, logprobs in parts:
        before = found[index]
        found[index] = before[0] + text, before[1] + [entry["token"] for entry in logprobs]
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_goes_on_when_its_engine_is_killed(own_server: LiveServer, kind: str) -> None:
    body = STORY | KINDS[kind] | {"stream": True}
    with own_server.http.stream("POST", CHAT, json=body) as response:
        expected = whole(list(told(chunks(response))))
    for n_before in (1, 8):
        pid = own_server.engine_pid
        with own_server.http.stream("POST", CHAT, json=body) as response:
            pieces = chunks(response)
            read = list(told(itertools.islice(pieces, n_before)))
            os.kill(pid, signal.SIGKILL)
            read += told(pieces)
        assert whole(read) == expected
        own_server.wait_for_log("request_resumed", pid=own_server.engine_pid)
    assert own_server.health["engine"]["restarts"] == 2
    assert "SIGKILL" in own_server.health["engine"]["last_failure"]
    assert own_server.log("engine_exited")
    assert own_server.log("request_resumed")


def test_each_of_several_answers_goes_on_and_ends_once(own_server: LiveServer) -> None:
    body = STORY | {"stream": True, "stream_options": {"include_usage": True}, "n": 3}
    with own_server.http.stream("POST", CHAT, json=body | {"temperature": 1.0}) as response:
        pieces = chunks(response)
        read = [next(pieces) for _ in range(5)]
        os.kill(own_server.engine_pid, signal.SIGKILL)
        read += pieces
    choices = [choice for piece in read for choice in piece["choices"]]
    assert len([choice for choice in choices if choice["delta"].get("role")]) == 3
    ends = [choice["index"] for choice in choices if choice["finish_reason"]]
    assert sorted(ends) == [0, 1, 2]
    assert read[-1]["usage"]["completion_tokens"] == 3 * 400
    assert own_server.log("request_resumed")


def test_an_answer_waits_through_engines_that_die_while_they_load(own_server: LiveServer) -> None:
    body = STORY | {"stream": True}
    pids = [own_server.engine_pid]
    with own_server.http.stream("POST", CHAT, json=body) as response:
        pieces = chunks(response)
        read = list(told(itertools.islice(pieces, 2)))
        os.kill(pids[0], signal.SIGKILL)
        for _ in range(2):
            own_server.wait_until(lambda: bool(set(own_server.children()) - set(pids)))
            (pid,) = set(own_server.children()) - set(pids)
            os.kill(pid, signal.SIGKILL)
            pids.append(pid)
        read += told(pieces)
    assert len(own_server.log("engine_restart_failed")) == 2
    assert whole(read) == whole(list(told(own_server.stream_of(body))))


def test_all_that_runs_and_waits_is_answered_when_the_engine_is_killed(
    own_server: LiveServer,
) -> None:
    bodies = [STORY | {"messages": [user(f"Tell story {number}.")]} for number in range(10)]
    with ThreadPoolExecutor(len(bodies)) as clients:
        asked = [clients.submit(own_server.http.post, CHAT, json=body) for body in bodies]
        own_server.wait_until(lambda: own_server.health["engine"]["requests"] == len(bodies))
        os.kill(own_server.engine_pid, signal.SIGKILL)
        answers = [future.result() for future in asked]
    assert [answer.status_code for answer in answers] == [200] * len(bodies)
    usages = [answer.json()["usage"] for answer in answers]
    assert [usage["completion_tokens"] for usage in usages] == [400] * len(bodies)


def test_an_answer_goes_on_though_another_model_is_asked_for_meanwhile(tmp_path: Path) -> None:
    for name in ("first.gguf", "second.gguf"):
        shutil.copy(MODELS / NANO, tmp_path / name)
    with LiveServer("--models-dir", str(tmp_path), "--model-name", "first.gguf") as live:
        live.wait_healthy()
        expected = whole(list(told(live.stream_of(STORY))))
        with live.http.stream("POST", CHAT, json=STORY | {"stream": True}) as response:
            pieces = chunks(response)
            read = list(told(itertools.islice(pieces, 2)))
            os.kill(live.engine_pid, signal.SIGKILL)
            live.wait_for_log("engine_exited")
            with ThreadPoolExecutor(1) as other:
                switched = other.submit(
                    live.http.post, "/setModel", json={"model_name": "second.gguf"}
                )
                read += told(pieces)
            assert switched.result().status_code == 200
        assert whole(read) == expected
        assert live.health["current_model"] == "second.gguf"


def test_a_request_that_ends_two_engines_is_not_tried_again(own_server: LiveServer) -> None:
    body = STORY | {"stream": True, "max_tokens": 1500}
    with own_server.http.stream("POST", CHAT, json=body) as response:
        pieces = chunks(response)
        next(pieces)
        pid = own_server.engine_pid
        os.kill(pid, signal.SIGKILL)
        own_server.wait_until(lambda: bool(own_server.log("request_resumed")))
        os.kill(own_server.engine_pid, signal.SIGKILL)
        *_, last = pieces
    assert last["error"]["code"] == "request_quarantined"
    assert last["detail"] == last["error"]["message"]
    refused = own_server.http.post(CHAT, json=body)
    assert refused.status_code == 500
    assert refused.json()["error"]["code"] == "request_quarantined"
    assert own_server.chat("Hello!", max_tokens=4)["choices"], "others are served"


def test_the_log_says_which_request_an_engine_took_with_it(own_server: LiveServer) -> None:
    headers = {"X-Request-ID": "unlucky"}
    with own_server.http.stream("POST", CHAT, json=LONG, headers=headers) as response:
        pieces = chunks(response)
        next(pieces)
        os.kill(own_server.engine_pid, signal.SIGKILL)
        list(pieces)
    line = own_server.wait_for_log("engine_exited", request_id="unlucky")
    assert line["reason"].startswith("signal SIGKILL: not sent by this service")
    assert own_server.wait_for_log("request", request_id="unlucky")
    assert own_server.health["warnings"] == []


def test_a_request_waits_for_the_engine_that_restarts(own_server: LiveServer) -> None:
    os.kill(own_server.engine_pid, signal.SIGKILL)
    own_server.wait_until(lambda: own_server.health["status"] == "restarting")
    assert own_server.http.get("/health/live").status_code == 200
    assert own_server.chat("Hello!", max_tokens=4)["choices"]


def test_an_engine_ends_with_its_server() -> None:
    with LiveServer() as live:
        pid = live.wait_healthy().engine_pid
        live.process.kill()
        live.process.wait()
        live.wait_until(lambda: not _is_running(pid))


def test_a_client_that_goes_away_ends_its_request(own_server: LiveServer) -> None:
    with own_server.http.stream("POST", CHAT, json=LONG) as response:
        pieces = chunks(response)
        next(pieces)
    own_server.wait_until(lambda: own_server.health["engine"]["requests"] == 0)
    assert own_server.wait_for_log("request", status=499)
    assert own_server.chat("Hello!", max_tokens=4)["choices"]


def test_a_client_that_goes_away_in_the_queue_leaves_the_queue(own_server: LiveServer) -> None:
    end = own_server.http.post("/tokenize", json={"content": "<|im_end|>"}).json()["tokens"]
    endless = LONG | {"logit_bias": {str(token): -100 for token in end}}
    body = json.dumps(endless).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nX-Request-ID: gone\r\n"
    with own_server.http.stream("POST", CHAT, json=endless) as running:
        pieces = chunks(running)
        next(pieces)
        with own_server.connect() as waiting:
            waiting.sendall(head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            own_server.wait_until(lambda: own_server.health["engine"]["requests"] == 2)
        own_server.wait_until(lambda: own_server.health["engine"]["requests"] <= 1)
    assert own_server.wait_for_log("request", request_id="gone")["status"] == 499


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
