"""Every wrong request gets one JSON shape, the right status and the name of the field."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.live.server import LiveServer, user

HELLO = {"messages": [user("Hello!")]}
TOOL = {"type": "function", "function": {"name": "get_time"}}
CHAT = "/v1/chat/completions"


def error_of(response: httpx.Response, status: int) -> dict[str, Any]:
    """Check the one shape of errors and return its inner object."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert body.keys() == {"error", "detail"}
    error: dict[str, Any] = body["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert body["detail"] == error["message"]
    return error


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"messages": [{"content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": -0.1}, "temperature"),
        ({"top_p": 1.5}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": -2}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"seed": -2}, "seed"),
        ({"stop": [""]}, "stop[0]"),
        ({"stream": "yes"}, "stream"),
        ({"n": 0}, "n"),
        ({"n": 99}, "n"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools[0].function.name"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"regex": "a", "choice": ["a"]}, "choice"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"modalities": ["audio"]}, "modalities[0]"),
        ({"reasoning_budget": -2}, "reasoning_budget"),
        ({"logit_bias": {"cat": 1}}, "logit_bias"),
        ({"logit_bias": {"99999999": 1}}, "logit_bias"),
        ({"load_model_configs": {"n_ctx": 0}}, "load_model_configs.n_ctx"),
        ({"load_model_configs": {"type_k": "q9"}}, "load_model_configs.type_k"),
        ({"inference_configs": {"temperature": "hot"}}, "inference_configs.temperature"),
    ],
)
def test_a_wrong_field_is_named(server: LiveServer, fields: dict[str, Any], param: str) -> None:
    error = error_of(server.http.post(CHAT, json={**HELLO, **fields}), 400)
    assert error["param"] == param
    assert error["type"] == "invalid_request_error"


@pytest.mark.parametrize("place", ["inference_configs", "load_model_configs"])
def test_an_unknown_key_is_named_and_the_valid_ones_listed(server: LiveServer, place: str) -> None:
    error = error_of(server.http.post(CHAT, json={**HELLO, place: {"tempreature": 1}}), 400)
    assert error["param"] == f"{place}.tempreature"
    assert "tempreature" in error["message"]
    assert ("temperature" if place == "inference_configs" else "n_ctx") in error["message"]


@pytest.mark.parametrize("body", [b"{", b"[1]", b'"x"', b"", b"\xff\xfe", b"nul"])
def test_a_body_that_is_no_json_object_is_refused(server: LiveServer, body: bytes) -> None:
    assert error_of(server.http.post(CHAT, content=body), 400)["param"] == "body"


def test_an_unknown_model_is_not_found_and_named(server: LiveServer) -> None:
    error = error_of(server.http.post(CHAT, json={**HELLO, "model": "no-such.gguf"}), 404)
    assert error["code"] == "model_not_found"
    assert "no-such.gguf" in error["message"]


@pytest.mark.parametrize(
    "name", ["../secret.gguf", "/etc/passwd", "a/b.gguf", "x\u0000.gguf", ".."]
)
def test_a_model_name_cannot_leave_the_folder(server: LiveServer, name: str) -> None:
    error_of(server.http.post("/setModel", json={"model_name": name}), 404)


@pytest.mark.parametrize(
    "path",
    ["..%2Fsecret.gguf", "%2Fetc%2Fpasswd", "..%5Csecret.gguf", "%2e%2e", "x%00.gguf", "%FF.gguf"],
)
@pytest.mark.parametrize("prefix", ["/models/", "/v1/models/"])
def test_a_model_in_the_path_cannot_leave_the_folder_either(
    server: LiveServer, prefix: str, path: str
) -> None:
    error_of(server.http.get(prefix + path), 404)


def test_an_unknown_path_is_not_found(server: LiveServer) -> None:
    assert error_of(server.http.get("/no/such/path"), 404)["code"] == "not_found"


def test_a_wrong_method_is_refused_and_the_right_one_offered(server: LiveServer) -> None:
    response = server.http.get(CHAT)
    assert error_of(response, 405)["code"] == "method_not_allowed"
    assert "POST" in response.headers["allow"]


def test_too_large_a_body_is_refused(server: LiveServer) -> None:
    body = b'{"messages":[{"role":"user","content":"' + b"x" * (8 * 1024 * 1024) + b'"}]}'
    error = error_of(server.http.post(CHAT, content=body), 413)
    assert "8388608" in error["message"]


def test_a_prompt_over_the_context_is_refused_with_the_known_words(server: LiveServer) -> None:
    n_ctx = server.health["engine"]["n_ctx"]
    response = server.http.post(CHAT, json={"messages": [user("word " * 3 * n_ctx)]})
    error = error_of(response, 400)
    assert error["code"] == "context_length_exceeded"
    assert f"exceed context window of {n_ctx}" in error["message"]
    assert error["message"].startswith("Requested tokens (")


def test_a_streamed_request_is_refused_with_a_status_too(server: LiveServer) -> None:
    error_of(server.http.post(CHAT, json={**HELLO, "stream": True, "temperature": -1}), 400)
    n_ctx = server.health["engine"]["n_ctx"]
    body = {"messages": [user("word " * 3 * n_ctx)], "stream": True}
    assert error_of(server.http.post(CHAT, json=body), 400)["code"] == "context_length_exceeded"


def test_content_the_model_cannot_see_is_refused(server: LiveServer) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:,"}}
    body = {"messages": [{"role": "user", "content": [image]}]}
    error = error_of(server.http.post(CHAT, json=body), 400)
    assert error["param"] == "messages[0].content[0].type"


@pytest.mark.parametrize("tokens", [[-1], [2**40], ["a"], "abc", [2_000_000_000]])
def test_ids_that_are_no_tokens_are_refused(server: LiveServer, tokens: Any) -> None:
    error = error_of(server.http.post("/detokenize", json={"tokens": tokens}), 400)
    assert error["param"].startswith("tokens")


def test_garbage_instead_of_http_gets_an_answer_and_harms_nobody(server: LiveServer) -> None:
    with server.connect() as connection:
        connection.sendall(b"NONSENSE\r\n\r\n")
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 400")
    assert json.loads(answer.split(b"\r\n\r\n", 1)[1])["error"]["type"] == "invalid_request_error"
    assert server.http.get("/health").status_code == 200


@pytest.mark.parametrize("target", ["models", "?", "localhost:80"])
def test_a_target_that_is_no_url_is_refused_and_no_failure_of_the_service(
    server: LiveServer, target: str
) -> None:
    with server.connect() as connection:
        connection.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 400")
    assert not [line for line in server.lines if "uncaught" in line["event"]]


@pytest.mark.parametrize("target", ["http://localhost", "http://localhost?a=b"])
def test_an_address_without_a_path_is_the_roots(server: LiveServer, target: str) -> None:
    with server.connect() as connection:
        connection.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("line", [b"PO\xf3T /health", b"GET /\xff\xfe", b"GET /models/\xff"])
def test_bytes_that_are_no_text_are_refused_like_others(server: LiveServer, line: bytes) -> None:
    with server.connect() as connection:
        connection.sendall(line + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.split()[1] in (b"400", b"404", b"405")
    assert json.loads(answer.split(b"\r\n\r\n", 1)[1])["error"]["type"] == "invalid_request_error"


def test_a_prompt_that_renders_to_nothing_is_refused(own_server: LiveServer) -> None:
    template = {"chat_template": "{{ messages[0].content }}"}
    name = own_server.health["current_model"]
    load = {"model_name": name, "load_model_configs": template}
    assert own_server.http.post("/setModel", json=load).status_code == 200
    error = error_of(own_server.http.post(CHAT, json={"messages": [user("")]}), 400)
    assert error["code"] == "chat_template_error"
    assert own_server.chat("Hello!", max_tokens=2)["choices"]


def test_a_number_over_64_bits_is_refused(server: LiveServer) -> None:
    body = {**HELLO, "chat_template_kwargs": {"n": 10**30}}
    assert error_of(server.http.post(CHAT, json=body), 400)["param"] == "body"


def test_a_tool_format_can_be_chosen_and_a_wrong_name_is_told_the_right_ones(
    own_server: LiveServer,
) -> None:
    name = own_server.http.get("/health").json()["current_model"]
    wrong = {"model_name": name, "load_model_configs": {"tool_format": "hermess"}}
    refused = own_server.http.post("/setModel", json=wrong)
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "load_model_configs.tool_format"
    assert "hermes," in refused.json()["error"]["message"]
    chosen = {"model_name": name, "load_model_configs": {"tool_format": "llama"}}
    assert own_server.http.post("/setModel", json=chosen).status_code == 200
    body = {**HELLO, "tools": [TOOL], "tool_choice": "required"}
    answer = own_server.http.post("/chat/completions", json=body).json()["choices"][0]
    assert answer["finish_reason"] == "tool_calls"


def test_a_context_that_does_not_fit_is_lowered_or_refused_as_the_request_says(
    own_server: LiveServer,
) -> None:
    name = own_server.health["current_model"]
    too_much = {"model_name": name, "load_model_configs": {"n_ctx": 2**24}}
    lowered = own_server.http.post("/setModel", json=too_much).json()
    assert lowered["n_ctx"] < 2**24
    assert lowered["notes"][0].startswith(f"n_ctx is {lowered['n_ctx']}: ")
    too_much["load_model_configs"]["fit"] = "strict"
    error = error_of(own_server.http.post("/setModel", json=too_much), 400)
    assert error["param"] == "load_model_configs.n_ctx"
    assert f"can be at most {lowered['n_ctx']}: " in error["message"]
    assert own_server.health["engine"]["n_ctx"] == lowered["n_ctx"]


def test_a_chat_template_as_large_as_allowed_reaches_the_engine(own_server: LiveServer) -> None:
    padding = "{# " + "x" * 262_000 + " #}"
    template = padding + "{% for m in messages %}{{ m.content }}{% endfor %}"
    name = own_server.health["current_model"]
    load = {"model_name": name, "load_model_configs": {"chat_template": template}}
    assert own_server.http.post("/setModel", json=load).status_code == 200
