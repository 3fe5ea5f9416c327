"""Anthropic's messages from a real model: cut anywhere, stopped, continued, and killed engines."""

from __future__ import annotations

import json
import os
import signal
from typing import Any

import pytest

from tests.api.dialects.anthropic.anthropic_requests import Reading, events_of
from tests.live.server import LiveServer

PATH = "/v1/messages"
LED: dict[str, Any] = {
    "name": "set_led",
    "description": "Set the color of the LED.",
    "input_schema": {
        "type": "object",
        "properties": {"color": {"type": "string", "enum": ["red", "green", "blue"]}},
        "required": ["color"],
    },
}
GREEN = {"role": "user", "content": "Turn the LED green."}
STORY = {"role": "user", "content": "Tell me a story."}
SCHEMA = {
    "type": "object",
    "properties": {"answer": {"enum": ["yes", "no"]}},
    "required": ["answer"],
    "additionalProperties": False,
}


def whole(server: LiveServer, *messages: dict[str, Any], **fields: Any) -> dict[str, Any]:
    body = {"messages": messages, "temperature": 0, "max_tokens": 60, **fields}
    response = server.http.post(PATH, json=body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def streamed(server: LiveServer, *messages: dict[str, Any], **fields: Any) -> Reading:
    body = {"messages": messages, "temperature": 0, "max_tokens": 60, "stream": True, **fields}
    response = server.http.post(PATH, json=body)
    assert response.status_code == 200, response.text
    return read(response.content)


def read(sent: bytes) -> Reading:
    """Return a client that has read a stream, whose events were in order."""
    reading = Reading()
    for event in events_of(sent):
        reading.read(event)
    assert reading.is_over
    return reading


def outline(message: dict[str, Any] | None) -> tuple[Any, ...]:
    """Return what a whole answer and a stream have in common, but for the input of calls."""
    assert message is not None
    content = [
        (block["type"], block.get("text"), block.get("name")) for block in message["content"]
    ]
    usage = message["usage"]
    return content, message["stop_reason"], message["stop_sequence"], usage["output_tokens"]


@pytest.mark.parametrize("n_tokens", [1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 24])
def test_a_stream_is_the_whole_answer_wherever_it_is_cut(server: LiveServer, n_tokens: int) -> None:
    for fields in ({}, {"tools": [LED], "tool_choice": {"type": "any"}}, {"system": "Be brief."}):
        answer = whole(server, GREEN, max_tokens=n_tokens, **fields)
        reading = streamed(server, GREEN, max_tokens=n_tokens, **fields)
        assert outline(reading.message) == outline(answer)
        for index, block in enumerate(answer["content"]):
            if block["type"] == "tool_use" and answer["stop_reason"] == "tool_use":
                assert json.loads(reading.input_text(index)) == block["input"]


def test_a_call_and_its_result_go_back_and_forth(server: LiveServer) -> None:
    answer = whole(server, GREEN, tools=[LED], tool_choice={"type": "tool", "name": "set_led"})
    (call,) = answer["content"]
    assert (answer["stop_reason"], call["input"]) == ("tool_use", {"color": "green"})
    result = {"type": "tool_result", "tool_use_id": call["id"], "content": "done"}
    talk: list[dict[str, Any]] = [
        GREEN,
        {"role": "assistant", "content": [call]},
        {"role": "user", "content": [result]},
    ]
    after = whole(server, *talk, tools=[LED])
    assert after["stop_reason"] == "end_turn"
    assert after["content"][0]["type"] == "text"
    assert after["usage"]["cache_read_input_tokens"] > 0


@pytest.mark.parametrize("stop", ["a", "once", " was"])
def test_the_stop_sequence_is_told(server: LiveServer, stop: str) -> None:
    answer = whole(server, STORY, stop_sequences=["never", stop])
    assert (answer["stop_reason"], answer["stop_sequence"]) == ("stop_sequence", stop)
    reading = streamed(server, STORY, stop_sequences=["never", stop])
    assert outline(reading.message) == outline(answer)


def test_an_answer_is_held_to_its_schema(server: LiveServer) -> None:
    form = {"format": {"type": "json_schema", "schema": SCHEMA}}
    answer = whole(server, GREEN, output_config=form)
    assert json.loads(answer["content"][0]["text"]) in ({"answer": "yes"}, {"answer": "no"})


def test_an_answer_that_was_begun_is_continued(server: LiveServer) -> None:
    begun = {"role": "assistant", "content": "There was once a "}
    chat = server.http.post(
        "/v1/chat/completions",
        json={
            "messages": [STORY, {**begun, "content": "There was once a"}],
            "continue_final_message": True,
            "temperature": 0,
            "max_tokens": 10,
        },
    ).json()
    answer = whole(server, STORY, begun, max_tokens=10)
    assert answer["content"][0]["text"] == chat["choices"][0]["message"]["content"]


def test_tokens_are_counted_as_the_prompt_has_them(server: LiveServer) -> None:
    body = {"messages": [GREEN], "tools": [LED], "system": "Be brief."}
    counted = server.http.post(f"{PATH}/count_tokens", json=body).json()["input_tokens"]
    usage = whole(server, GREEN, tools=[LED], system="Be brief.")["usage"]
    names = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    assert sum(usage[name] for name in names) == counted


def test_a_prompt_that_is_too_long_is_told_with_its_numbers(server: LiveServer) -> None:
    long = {"role": "user", "content": "word " * 9000}
    for stream in (False, True):
        response = server.http.post(PATH, json={"messages": [long], "stream": stream})
        assert response.status_code == 400
        message = response.json()["error"]["message"]
        assert message.startswith("prompt is too long: ")
        assert message.endswith(f" tokens > {server.wait_for_log('model_loaded')['n_ctx']} maximum")


def test_a_stream_goes_on_when_its_engine_is_killed(own_server: LiveServer) -> None:
    body = {
        "messages": [STORY],
        "temperature": 0,
        "max_tokens": 300,
        "ignore_eos": True,
        "stream": True,
    }
    expected = own_server.http.post(PATH, json=body).content
    pid = own_server.engine_pid
    sent = b""
    with own_server.http.stream("POST", PATH, json=body) as response:
        for piece in response.iter_raw():
            sent += piece
            if pid and sent.count(b"text_delta") > 3:
                os.kill(pid, signal.SIGKILL)
                pid = 0
    assert outline(read(sent).message) == outline(read(expected).message)
