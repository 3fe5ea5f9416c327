"""The Responses dialect on the bundled model, also by the official `openai` client."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from tests.api.dialects.responses.stream_order import Json, StreamOrder, events_of
from tests.live.server import NANO, LiveServer

ASKED = "What is the capital of France?"
LED: Any = {
    "type": "function",
    "name": "set_led",
    "description": "Set the color of the LED.",
    "parameters": {
        "type": "object",
        "properties": {"color": {"type": "string", "description": "Color name"}},
        "required": ["color"],
    },
}


@pytest.fixture(scope="module")
def client(server: LiveServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="unused", max_retries=0) as found:
        yield found


def answer(server: LiveServer, **fields: Any) -> Json:
    body = {"input": ASKED, "temperature": 0, **fields}
    response = server.http.post("/v1/responses", json=body)
    assert response.status_code == 200, response.text
    if body.get("stream"):
        return StreamOrder().take_all(events_of(response.content))
    found: Json = response.json()
    return found


# ---------------------------------------------------------------- the official client


def test_it_answers(client: openai.OpenAI) -> None:
    response = client.responses.create(model=NANO, input=ASKED, temperature=0)
    assert "Paris" in response.output_text
    assert response.usage is not None
    assert response.usage.total_tokens > 0


def test_it_streams_and_ends_with_the_same_response(client: openai.OpenAI) -> None:
    with client.responses.stream(model=NANO, input=ASKED, temperature=0) as stream:
        text = "".join(
            event.delta for event in stream if event.type == "response.output_text.delta"
        )
        final = stream.get_final_response()
    assert "Paris" in text
    assert final.output_text == text


def test_it_calls_a_tool_and_goes_on_with_its_output(client: openai.OpenAI) -> None:
    said: Any = [{"role": "user", "content": "Turn the LED red."}]
    first = client.responses.create(
        model=NANO, input=said, tools=[LED], tool_choice="required", temperature=0
    )
    (call,) = first.output
    assert call.type == "function_call"
    assert json.loads(call.arguments).keys() == {"color"}
    said += [
        call.model_dump(exclude_none=True),
        {"type": "function_call_output", "call_id": call.call_id, "output": "done"},
    ]
    second = client.responses.create(model=NANO, input=said, tools=[LED], max_output_tokens=20)
    assert second.usage is not None
    assert second.usage.input_tokens_details.cached_tokens > 0


class City(BaseModel):
    """What the answer is held to."""

    name: str


def test_it_parses_an_answer_that_is_held_to_a_schema(client: openai.OpenAI) -> None:
    response = client.responses.parse(
        model=NANO, input=ASKED, text_format=City, temperature=0, max_output_tokens=60
    )
    assert isinstance(response.output_parsed, City)


# ---------------------------------------------------------------- streams


def test_an_answer_cut_at_any_token_is_in_order(server: LiveServer) -> None:
    choice = {"type": "function", "name": "set_led"}
    for limit in (1, 2, 3, 5, 8, 13):
        for more in ({}, {"tools": [LED], "tool_choice": choice}):
            cut = answer(server, stream=True, max_output_tokens=limit, **more)
            assert cut["status"] in ("incomplete", "completed")
            assert cut["usage"]["output_tokens"] <= limit


def test_a_stream_outlives_its_engine(own_server: LiveServer) -> None:
    expected = answer(own_server, max_output_tokens=60)
    body = {"input": ASKED, "temperature": 0, "max_output_tokens": 60, "stream": True}
    stream = b""
    with own_server.http.stream("POST", "/v1/responses", json=body) as response:
        for data in response.iter_bytes():
            if not stream:
                os.kill(own_server.engine_pid, signal.SIGKILL)
            stream += data
    found = StreamOrder().take_all(events_of(stream))
    assert found["output"][0]["content"] == expected["output"][0]["content"]


# ---------------------------------------------------------------- forms


def test_a_custom_tools_text_is_held_to_its_grammar(server: LiveServer) -> None:
    definition = 'start: "go " ("north" | "south") LF NUMBER\n%import common (LF, NUMBER)'
    form = {"type": "grammar", "syntax": "lark", "definition": definition}
    tool = {"type": "custom", "name": "walk", "format": form}
    found = answer(server, tools=[tool], tool_choice="required", stream=True)
    (call,) = found["output"]
    assert call["type"] == "custom_tool_call"
    assert call["input"].startswith(("go north\n", "go south\n"))


# ---------------------------------------------------------------- limits


def test_a_prompt_that_is_too_long_is_refused_by_a_code_that_agents_know(
    server: LiveServer,
) -> None:
    for is_streamed in (False, True):
        body = {"input": "word " * 5000, "stream": is_streamed}
        response = server.http.post("/v1/responses", json=body)
        assert response.status_code == 400
        error = response.json()["error"]
        assert (error["code"], error["param"]) == ("context_length_exceeded", "input")


def test_the_tokens_of_a_prompt_are_those_of_its_answer(server: LiveServer) -> None:
    body = {"input": ASKED, "instructions": "Be brief.", "tools": [LED]}
    counted = server.http.post("/v1/responses/input_tokens", json=body).json()
    answered = answer(server, **body, max_output_tokens=1)
    assert counted == {
        "object": "response.input_tokens",
        "input_tokens": answered["usage"]["input_tokens"],
    }
