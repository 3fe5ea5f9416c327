"""A stored response is gone on from: with the bundled model, its cache, restarts and deaths."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from tests.api.dialects.responses.stream_order import StreamOrder, events_of
from tests.live.server import LiveServer

PATH = "/v1/responses"
TOOL = {
    "type": "function",
    "name": "get_weather",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 8}},
        "required": ["city"],
    },
}
STORY = "Tell me a long story."
LONG = {"ignore_eos": True, "max_output_tokens": 300}


def ask(server: LiveServer, said: Any, **fields: Any) -> dict[str, Any]:
    body = {"input": said, "temperature": 0, "max_output_tokens": 40, **fields}
    response = server.http.post(PATH, json=body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def n_known(usage: dict[str, Any]) -> int:
    """Return how many tokens of a request and its answer a next one finds in the cache."""
    return int(usage["total_tokens"]) - 2  # the last ones are not decoded


def n_cached(answer: dict[str, Any]) -> int:
    return int(answer["usage"]["input_tokens_details"]["cached_tokens"])


def text(answer: dict[str, Any]) -> str:
    return str(answer["output"][-1]["content"][0]["text"])


def test_going_on_costs_the_prefill_of_the_new_turn_only(server: LiveServer) -> None:
    first = ask(server, "Hello, my name is Bob.", instructions="Be kind.")
    answers = [first]
    for said in ("What is my name?", "And again?"):
        previous = answers[-1]
        answers.append(
            ask(server, said, previous_response_id=previous["id"], instructions="Be kind.")
        )
        assert n_cached(answers[-1]) >= n_known(previous["usage"])
    sent = [{"role": "user", "content": "Hello, my name is Bob."}, *first["output"]]
    stateless = ask(
        server, [*sent, {"role": "user", "content": "What is my name?"}], instructions="Be kind."
    )
    assert text(stateless) == text(answers[1])
    assert stateless["usage"]["input_tokens"] == answers[1]["usage"]["input_tokens"]


def test_a_call_and_its_result_are_gone_on_from(server: LiveServer) -> None:
    asked = {"tools": [TOOL], "instructions": "You are helpful."}
    call = ask(server, "What is the weather in Rome?", tool_choice="required", **asked)
    (item,) = call["output"]
    result = {"type": "function_call_output", "call_id": item["call_id"], "output": "sunny"}
    second = ask(server, [result], previous_response_id=call["id"], **asked)
    assert n_cached(second) >= n_known(call["usage"])
    third = ask(server, "Thanks.", previous_response_id=second["id"], **asked)
    assert n_cached(third) >= n_known(second["usage"])


def test_a_conversation_goes_on_after_a_restart(tmp_path: Path) -> None:
    arguments = ("--cache-dir", str(tmp_path), "--disk-save-after-s", "0")
    with LiveServer(*arguments) as live:
        live.wait_healthy()
        first = ask(live, "Hello, my name is Bob. " * 20)
    with LiveServer(*arguments) as live:
        live.wait_healthy()
        second = ask(live, "What is my name?", previous_response_id=first["id"])
        assert n_cached(second) >= n_known(first["usage"])
        assert live.http.get(f"{PATH}/{first['id']}").json() == first


def test_a_background_response_outlives_the_engine(own_server: LiveServer) -> None:
    expected = text(ask(own_server, STORY, **LONG))
    begun = ask(own_server, STORY, background=True, **LONG)
    os.kill(own_server.engine_pid, signal.SIGKILL)
    response = own_server.http.get(f"{PATH}/{begun['id']}", params={"stream": "true"})
    whole = StreamOrder().take_all(events_of(response.content))
    assert (whole["status"], text(whole)) == ("incomplete", expected)
    assert own_server.http.get(f"{PATH}/{begun['id']}").json() == whole
    assert own_server.log("request_resumed")
