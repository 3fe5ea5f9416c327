"""What the device's existing client does must work: it will not change (docs/api.md)."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

from tests.live.server import NANO, ROOT, LiveServer, chunks, user

LIGHT_TOOL = {
    "type": "function",
    "function": {
        "name": "set_led",
        "description": "Set the color of the LED.",
        "parameters": {
            "type": "object",
            "properties": {"color": {"type": "string"}},
            "required": ["color"],
        },
    },
}
CONFIGS = {
    "temperature": 0,
    "top_p": 0.9,
    "top_k": 40,
    "min_p": 0.05,
    "repetition_penalty": 1.0,
    "max_tokens": 40,
    "stop": ["user:"],
}


def test_it_starts_the_server_by_the_path_of_a_script(tmp_path: Path) -> None:
    script = (str(ROOT / "app" / "server.py"), "--host", "127.0.0.1")
    arguments = ("--model_name", NANO, "--n_ctx", "1024")
    with LiveServer(*arguments, command=script, cwd=tmp_path) as live:
        live.wait_healthy()
        assert live.health["current_model"] == NANO
        assert live.health["engine"]["n_ctx"] == 1024


def test_it_stops_the_server_within_its_three_seconds_though_an_answer_is_open(
    own_server: LiveServer,
) -> None:
    pieces = own_server.stream("Tell me a story.", ignore_eos=True, max_tokens=3000)
    next(pieces)
    engine_pid = own_server.engine_pid
    os.kill(engine_pid, signal.SIGSTOP)  # slower than any device
    began_s = time.monotonic()
    own_server.process.send_signal(signal.SIGTERM)
    last = list(pieces)[-1]
    os.kill(engine_pid, signal.SIGCONT)
    assert own_server.process.wait(timeout=3) == 0
    assert time.monotonic() - began_s < 3.0
    assert last["error"]["code"] == "service_stopping"


def test_its_own_configuration_is_read(tmp_path: Path) -> None:
    config = tmp_path / "mcp_config.json"
    part = {"model_name": NANO, "max_tokens": 3, "n_ctx": 768, "timeout": 150}
    config.write_text(json.dumps({"llm_providers": {"llama-cpp": part}}))
    with LiveServer(environment={"MCP_CONFIG_FILE": str(config)}) as live:
        live.wait_healthy()
        assert live.health["current_model"] == NANO
        assert live.health["engine"]["n_ctx"] == 768
        assert live.chat("Tell me a story.")["usage"]["completion_tokens"] == 3


def test_it_polls_health_until_the_model_is_there() -> None:
    with LiveServer() as live:
        first = live.http.get("/health", timeout=2.0)
        assert first.status_code in (200, 503)
        live.wait_healthy()
        assert live.health["message"] == "Server is healthy and model is loaded"
        assert live.health["model_loaded"] is True


def test_it_sends_sampling_values_in_inference_configs(server: LiveServer) -> None:
    body = {"messages": [user("Tell me a story.")], "inference_configs": CONFIGS}
    answer = server.http.post("/chat/completions", json=body).json()
    assert answer["usage"]["completion_tokens"] <= 40


def test_inference_configs_win_over_the_top_level(server: LiveServer) -> None:
    body = {
        "messages": [user("Tell me a story.")],
        "max_tokens": 50,
        "inference_configs": {"max_tokens": 6},
    }
    answer = server.http.post("/chat/completions", json=body).json()
    assert answer["usage"]["completion_tokens"] == 6


def test_both_spellings_of_the_repeat_penalty_count(server: LiveServer) -> None:
    def answer(**configs: Any) -> Any:
        inference_configs = {"temperature": 0, "max_tokens": 80, **configs}
        body = {
            "messages": [user("Tell me a story.")],
            "inference_configs": inference_configs,
        }
        return server.http.post("/chat/completions", json=body).json()["choices"]

    assert answer(repetition_penalty=1.8) == answer(repeat_penalty=1.8) != answer()


def test_load_model_configs_on_every_call_reload_nothing(server: LiveServer) -> None:
    before = server.engine_pid
    body = {
        "model": NANO,
        "messages": [user("Hello!")],
        "inference_configs": CONFIGS,
        "load_model_configs": {"n_ctx": 32768},
    }
    assert server.http.post("/chat/completions", json=body).status_code == 200
    assert server.engine_pid == before


def test_it_sets_a_model_with_inference_configs(own_server: LiveServer) -> None:
    body = {"model_name": NANO, "inference_configs": {"n_ctx": 1024}}
    answer = own_server.http.post("/setModel", json=body).json()
    assert answer["message"] == "Model loaded successfully"
    assert answer["model"] == NANO
    assert answer["status"] == "ok"
    assert answer["n_ctx"] == 1024
    assert answer["load_ms"] > 0


def test_it_finds_the_overflow_text_in_detail(server: LiveServer) -> None:
    n_ctx = server.health["engine"]["n_ctx"]
    body = {"messages": [user("word " * 3 * n_ctx)]}
    detail = server.http.post("/chat/completions", json=body).json()["detail"]
    assert f"exceed context window of {n_ctx}" in detail


def test_it_joins_streamed_tool_calls_across_chunks(server: LiveServer) -> None:
    body = {
        "messages": [user("Turn the LED blue.")],
        "tools": [LIGHT_TOOL],
        "stream": True,
        "inference_configs": CONFIGS,
    }
    joined = {"id": "", "name": "", "arguments": ""}
    with server.http.stream("POST", "/chat/completions", json=body) as response:
        for chunk in chunks(response):
            for call in chunk["choices"][0]["delta"].get("tool_calls", ()):
                assert call["index"] == 0
                joined["id"] += call.get("id", "")
                joined["name"] += call["function"].get("name", "")
                joined["arguments"] += call["function"].get("arguments", "")
    assert joined["id"].startswith("call_")
    assert joined["id"].count("call_") == 1
    assert joined["name"] == "set_led"
    assert json.loads(joined["arguments"]) == {"color": "blue"}


def test_it_sends_tool_arguments_back_as_an_object(server: LiveServer) -> None:
    function = {"name": "set_led", "arguments": {"color": "blue"}}
    messages = [
        user("Turn the LED blue."),
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "call_1", "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": '{"status": "ok"}'},
    ]
    body = {"messages": messages, "tools": [LIGHT_TOOL], "inference_configs": CONFIGS}
    answers = []
    for arguments in ({"color": "blue"}, '{"color": "blue"}'):
        function["arguments"] = arguments
        response = server.http.post("/chat/completions", json=body)
        assert response.status_code == 200
        answers.append(response.json()["choices"][0]["message"]["content"])
    assert answers[0]
    assert answers[0] == answers[1]
