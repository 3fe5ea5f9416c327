"""Ollama's dialect over HTTP, as its clients use it: lines, errors with their status, contexts."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.dialects.ollama.ndjson_stream import Stream, read_stream
from tests.live.server import NANO, LiveServer

USER = {"role": "user", "content": "Hi"}
TOOL = {
    "type": "function",
    "function": {
        "name": "turn_on",
        "parameters": {
            "type": "object",
            "properties": {"room": {"type": "string", "enum": ["kitchen", "hall"]}},
            "required": ["room"],
        },
    },
}
LAMP = {"role": "user", "content": "Turn on the lamp in the kitchen"}


def post(server: LiveServer, path: str, **fields: Any) -> httpx.Response:
    options = {"temperature": 0, **fields.pop("options", {})}
    body = {"model": NANO, "options": options, **fields}
    return server.http.post(path, content=json.dumps(body))


def whole(server: LiveServer, path: str, **fields: Any) -> dict[str, Any]:
    response = post(server, path, stream=False, **fields)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    body: dict[str, Any] = response.json()
    return body


def streamed(server: LiveServer, path: str, **fields: Any) -> Stream:
    response = post(server, path, **fields)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/x-ndjson"
    return read_stream(response.content)


def error(server: LiveServer, path: str, **fields: Any) -> tuple[int, str]:
    response = post(server, path, **fields)
    body = response.json()
    assert set(body) == {"error"}
    return response.status_code, body["error"]


def test_the_lines_of_a_chat_are_the_whole_answer(server: LiveServer) -> None:
    fields: dict[str, Any] = {"messages": [USER], "logprobs": True, "options": {"num_predict": 5}}
    stream, body = streamed(server, "/api/chat", **fields), whole(server, "/api/chat", **fields)
    assert stream.text == body["message"]["content"] != ""
    assert len(stream.logprobs) == len(body["logprobs"]) == body["eval_count"] == 5
    assert stream.last
    assert stream.last["done_reason"] == body["done_reason"] == "length"
    assert body["total_duration"] >= body["prompt_eval_duration"] + body["eval_duration"] > 0


@pytest.mark.parametrize("content_type", [None, "application/x-www-form-urlencoded", "text/plain"])
def test_json_is_read_whatever_its_type_is_called(
    server: LiveServer, content_type: str | None
) -> None:
    headers = {} if content_type is None else {"content-type": content_type}
    body = json.dumps({"model": NANO, "messages": [USER], "stream": False})
    response = server.http.post("/api/chat", content=body, headers=headers)
    assert response.json()["done"] is True


def test_a_call_is_whole_and_its_result_needs_no_id(server: LiveServer) -> None:
    fields: dict[str, Any] = {"messages": [LAMP], "tools": [TOOL], "tool_choice": "required"}
    stream = streamed(server, "/api/chat", **fields)
    (call,) = stream.calls
    assert call["function"]["name"] == "turn_on"
    assert call["function"]["arguments"]["room"] in ("kitchen", "hall")
    answered = {"role": "assistant", "tool_calls": [{"function": call["function"]}]}
    later = [LAMP, answered, {"role": "tool", "content": "done"}]
    body = whole(server, "/api/chat", messages=later, tools=[TOOL])
    assert body["message"]["content"]
    assert body["cached_tokens"] > 0


@pytest.mark.parametrize("path", ["/api/chat", "/api/generate"])
def test_a_format_is_enforced(server: LiveServer, path: str) -> None:
    schema = {
        "type": "object",
        "properties": {
            "on": {"type": "boolean"},
            "rgb": {
                "type": "array",
                "items": {"enum": [1]},
                "format": "RGB",
                "uniqueItems": True,
                "maxItems": 1.0,
            },
        },
        "required": ["on"],
        "additionalProperties": False,
    }
    body = whole(server, path, messages=[USER], prompt="Hi", format=schema)
    text = body["response"] if path == "/api/generate" else body["message"]["content"]
    assert set(json.loads(text)) <= {"on", "rgb"}


def test_a_window_that_is_asked_for_loads_nothing(server: LiveServer) -> None:
    pid = server.engine_pid
    for n_ctx in (512, 131072):
        options = {"num_ctx": n_ctx, "num_predict": 1}
        whole(server, "/api/chat", messages=[USER], options=options)
    assert server.engine_pid == pid


def test_a_context_goes_on_as_a_conversation_does(server: LiveServer) -> None:
    first = whole(server, "/api/generate", prompt="Hi", system="Be short.")
    assert len(first["context"]) >= first["prompt_eval_count"] + first["eval_count"]
    later = whole(server, "/api/generate", prompt="Hi", context=first["context"])
    messages = [
        {"role": "system", "content": "Be short."},
        USER,
        {"role": "assistant", "content": first["response"]},
        USER,
    ]
    chat = whole(server, "/api/chat", messages=messages)
    assert later["response"] == chat["message"]["content"]
    assert later["prompt_eval_count"] == chat["prompt_eval_count"]
    assert later["cached_tokens"] >= len(first["context"]) - 1
    assert later["context"][: len(first["context"])] == first["context"]


def test_a_prompt_after_a_context_is_remembered_as_no_conversation(server: LiveServer) -> None:
    first = whole(server, "/api/generate", prompt="What is two plus two? Think hard.")
    whole(server, "/api/generate", prompt="And now?", context=first["context"])
    conversation = [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Well, yes."},
        {"role": "user", "content": "And now?"},
    ]
    asked = whole(server, "/api/chat", messages=conversation)
    answered = {"role": "assistant", "content": asked["message"]["content"]}
    later = whole(server, "/api/chat", messages=[*conversation, answered, USER])
    assert later["cached_tokens"] >= asked["prompt_eval_count"]
    assert later["prompt_eval_count"] < asked["prompt_eval_count"] + asked["eval_count"] + 16


def test_tokens_are_counted_and_come_back_as_text(server: LiveServer) -> None:
    tokens = whole(server, "/api/tokenize", content="Hello you")["tokens"]
    assert whole(server, "/api/detokenize", tokens=tokens)["content"] == "Hello you"


def test_nothing_to_answer_is_a_load(server: LiveServer) -> None:
    assert whole(server, "/api/chat")["done_reason"] == "load"
    assert whole(server, "/api/generate", keep_alive=0)["done_reason"] == "unload"
    assert server.health["status"] == "ok"


BAD: list[tuple[str, dict[str, Any], int, str]] = [
    ("/api/chat", {"messages": "Hi"}, 400, "messages: "),
    ("/api/chat", {"messages": [USER], "options": {"top_k": "x"}}, 400, "options.top_k: "),
    ("/api/chat", {"messages": [USER], "model": None}, 400, "model is required"),
    ("/api/chat", {"messages": [{"role": "user", "content": "x " * 9000}]}, 400, "Requested"),
    ("/api/generate", {"prompt": "x " * 9000}, 400, "Requested"),
    ("/api/generate", {"prompt": "a", "suffix": "b"}, 400, f'"{NANO}" does not support insert'),
    ("/api/generate", {"prompt": "a", "context": [999_999]}, 400, "context: 999999 "),
    ("/api/generate", {"prompt": "a", "context": [1] * 5000}, 400, "Requested"),
    ("/api/generate", {"prompt": "a", "raw": True, "system": "b"}, 400, "raw mode does not"),
    ("/api/chat", {"messages": [{**USER, "images": ["aGk="]}]}, 400, "messages[0].images: "),
    ("/api/embed", {"input": "a"}, 501, f'"{NANO}" does not support embedding'),
    ("/api/embeddings", {"prompt": "a"}, 501, f'"{NANO}" does not support embedding'),
    ("/api/unknown", {}, 404, "Requested URL"),
]


@pytest.mark.parametrize(("path", "fields", "status", "text"), BAD)
def test_a_bad_request_has_its_status_and_one_text(
    server: LiveServer, path: str, fields: dict[str, Any], status: int, text: str
) -> None:
    found = error(server, path, **fields)
    assert found[0] == status
    assert found[1].startswith(text)


def test_a_body_is_required_and_a_method_too(server: LiveServer) -> None:
    for path in ("chat", "generate", "tokenize", "show", "copy", "create", "pull"):
        response = server.http.post(f"/api/{path}")
        assert (response.status_code, response.json()) == (400, {"error": "missing request body"})
    response = server.http.get("/api/chat")
    assert (response.status_code, set(response.json())) == (405, {"error"})


def test_a_key_is_required_where_there_are_keys(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("laptop:sk-0123456789abcdef0123456789abcdef\n")
    with LiveServer("--api-keys-file", str(keys)) as live:
        response = live.http.post("/api/chat", json={"model": NANO, "messages": [USER]})
        assert (response.status_code, set(response.json())) == (401, {"error"})
        assert response.headers["WWW-Authenticate"] == "Bearer"


def test_a_full_queue_is_a_503_that_may_be_tried_again() -> None:
    with LiveServer("--parallel", "1", "--max-queue", "0") as live:
        live.wait_healthy()
        end = live.http.post("/tokenize", json={"content": "<|im_end|>"}).json()["tokens"]
        options = {"logit_bias": {str(token): -100 for token in end}}
        endless = {"model": NANO, "prompt": "Tell me a story.", "options": options}
        with live.http.stream("POST", "/api/generate", json=endless) as running:
            pieces = running.iter_bytes()
            next(pieces)
            response = live.http.post("/api/chat", json={"model": NANO, "messages": [USER]})
            assert response.status_code == 503
            assert response.json()["error"].startswith("server busy, please try again.")
            assert int(response.headers["Retry-After"]) > 0


def test_a_stream_outlives_its_engine(own_server: LiveServer) -> None:
    fields = {
        "model": NANO,
        "raw": True,
        "prompt": "a",
        "options": {"num_predict": 300, "seed": 1, "ignore_eos": True},
    }
    with own_server.http.stream("POST", "/api/generate", json=fields) as response:
        received, pieces = b"", response.iter_bytes()
        received += next(pieces)
        os.kill(own_server.engine_pid, signal.SIGKILL)
        received += b"".join(pieces)
    stream = read_stream(received)
    assert stream.last
    assert (stream.last["done_reason"], stream.last["eval_count"]) == ("length", 300)
