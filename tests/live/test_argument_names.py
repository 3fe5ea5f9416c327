"""Arguments may be called anything, whatever format the model writes calls in."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.live.server import LiveServer, user

NAMES = ["$filter", "Issue Type", "filter[name]", "a.b", "x:y", 'say "hi"', "None", "größe", "p=q"]
SCHEMA = {
    "type": "object",
    "properties": {name: {"enum": [f"v{at}", None]} for at, name in enumerate(NAMES)},
    "required": NAMES,
}


def choose(server: LiveServer, tool_format: str) -> None:
    name = server.health["current_model"]
    chosen = {"model_name": name, "load_model_configs": {"tool_format": tool_format}}
    assert server.http.post("/setModel", json=chosen, timeout=60).status_code == 200


def asked(server: LiveServer, function: dict[str, Any], **fields: Any) -> Any:
    body = {"messages": [user("Go.")], "tools": [{"type": "function", "function": function}]}
    return server.http.post("/v1/chat/completions", json={**body, **fields}, timeout=60)


def test_calls_have_the_arguments_that_were_asked_for(own_server: LiveServer) -> None:
    function = {"name": "find", "parameters": SCHEMA}
    wanted = {"tool_choice": "required", "parallel_tool_calls": False}
    for tool_format in ("lfm2", "seed", "gemma"):
        choose(own_server, tool_format)
        choice = asked(own_server, function, max_tokens=900, **wanted).json()["choices"][0]
        assert choice["finish_reason"] == "tool_calls"
        (call,) = choice["message"]["tool_calls"]
        arguments = json.loads(call["function"]["arguments"])
        assert arguments.keys() == set(NAMES)
        assert all(value in (f"v{NAMES.index(name)}", None) for name, value in arguments.items())


def test_arguments_that_a_format_cannot_tell_apart_are_refused(own_server: LiveServer) -> None:
    choose(own_server, "lfm2")
    schema = {"type": "object", "properties": {"a": {}, "a=b": {}}}
    refused = asked(own_server, {"name": "find", "parameters": schema})
    assert refused.status_code == 400
    error = refused.json()["error"]
    assert error["param"] == "tools[0].function.parameters"
    assert "'a=b'" in error["message"]
    assert "lfm2" in error["message"]


def test_a_call_that_a_stop_string_cuts_is_not_the_reason_for_the_end(
    own_server: LiveServer,
) -> None:
    function = {"name": "find", "parameters": SCHEMA}
    answer = asked(own_server, function, tool_choice="required", stop=["filter[name]"])
    choice = answer.json()["choices"][0]
    assert choice["finish_reason"] == "stop"
    (call,) = choice["message"]["tool_calls"]
    with pytest.raises(json.JSONDecodeError):
        json.loads(call["function"]["arguments"])
