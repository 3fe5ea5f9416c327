"""The engine may die at any moment; the HTTP process stays and the next request is answered."""

from __future__ import annotations

import json
import os
import signal

from tests.live.server import LiveServer, chunks, user

CHAT = "/v1/chat/completions"
LONG = {"messages": [user("Tell me a long story.")], "temperature": 2.0, "stream": True}


def test_a_stream_whose_engine_is_killed_ends_with_an_error_event(own_server: LiveServer) -> None:
    pid = own_server.engine_pid
    with own_server.http.stream("POST", CHAT, json=LONG) as response:
        pieces = chunks(response)
        next(pieces)
        os.kill(pid, signal.SIGKILL)
        *_, last = pieces
    assert last["error"]["code"] == "engine_died"
    assert last["detail"] == last["error"]["message"]

    own_server.wait_healthy()
    assert own_server.engine_pid != pid
    assert own_server.chat("Hello!", max_tokens=4)["choices"]
    assert own_server.health["engine"]["restarts"] == 1
    assert "SIGKILL" in own_server.health["engine"]["last_failure"]
    assert own_server.log("engine_exited")


def test_the_log_says_which_request_an_engine_took_with_it(own_server: LiveServer) -> None:
    headers = {"X-Request-ID": "unlucky"}
    with own_server.http.stream("POST", CHAT, json=LONG, headers=headers) as response:
        pieces = chunks(response)
        next(pieces)
        os.kill(own_server.engine_pid, signal.SIGKILL)
        list(pieces)
    line = own_server.wait_for_log("engine_exited", request_id="unlucky")
    assert line["reason"].startswith("signal SIGKILL: not by this service")
    assert own_server.wait_for_log("request", request_id="unlucky")
    assert own_server.health["warnings"] == []


def test_http_answers_while_the_engine_restarts(own_server: LiveServer) -> None:
    os.kill(own_server.engine_pid, signal.SIGKILL)
    own_server.wait_until(lambda: own_server.health["status"] == "restarting")
    refused = own_server.http.post(CHAT, json=LONG)
    own_server.wait_healthy()
    if refused.status_code != 200:  # it may have restarted in between
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.json()["error"]["code"] == "engine_unavailable"
    assert own_server.http.get("/health/live").status_code == 200


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
