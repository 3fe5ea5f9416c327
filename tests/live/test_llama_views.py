"""llama-server's views of a running server, and what it tells of a prompt."""

from __future__ import annotations

from tests.live.server import NANO, LiveServer

MESSAGES = [{"role": "user", "content": "Turn on the light in the kitchen."}]


def test_the_model_and_its_slots_are_described(server: LiveServer) -> None:
    props = server.http.get("/props").json()
    assert props["model_alias"] == NANO
    assert "message" in props["chat_template"]
    assert props["eos_token"]
    slots = server.http.get("/slots", params={"fail_on_no_slot": "1"}).json()
    assert len(slots) == props["total_slots"]
    n_ctx = props["default_generation_settings"]["n_ctx"]
    assert {slot["n_ctx"] for slot in slots} == {n_ctx}


def test_the_tokens_of_a_prompt_are_those_that_an_answer_reports(server: LiveServer) -> None:
    body = {"messages": MESSAGES, "max_tokens": 1}
    counted = server.http.post("/v1/chat/completions/input_tokens", json=body).json()
    answer = server.http.post("/v1/chat/completions", json=body).json()
    assert counted["input_tokens"] == answer["usage"]["prompt_tokens"]
    assert answer["usage"]["completion_tokens_details"] == {"reasoning_tokens": 0}


def test_a_model_without_tokens_for_it_cannot_fill_in_the_middle(server: LiveServer) -> None:
    body = {"input_prefix": "def f(", "input_suffix": "):"}
    response = server.http.post("/infill", json=body)
    assert response.status_code == 501
    assert response.json()["error"]["type"] == "not_supported_error"


def test_only_a_running_answer_can_be_controlled(server: LiveServer) -> None:
    body = {"id": "chatcmpl-none", "action": "reasoning_end"}
    response = server.http.post("/v1/chat/completions/control", json=body)
    assert response.status_code == 200
    assert not response.json()["success"]
