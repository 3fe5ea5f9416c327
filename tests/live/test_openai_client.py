"""The official `openai` client works against the server as it does against OpenAI."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.live.server import NANO, LiveServer

LED_TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "set_led",
        "description": "Set the color of the LED.",
        "parameters": {
            "type": "object",
            "properties": {"color": {"type": "string", "description": "Color name"}},
            "required": ["color"],
        },
    },
}


@pytest.fixture(scope="module")
def client(server: LiveServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="unused", max_retries=0) as found:
        yield found


def test_it_chats(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model=NANO,
        messages=[{"role": "user", "content": "What is the capital of France?"}],
        temperature=0,
    )
    assert "Paris" in (answer.choices[0].message.content or "")
    assert answer.usage is not None
    assert answer.usage.prompt_tokens > 0


def test_it_streams(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model=NANO,
        messages=[{"role": "user", "content": "What is the capital of France?"}],
        temperature=0,
        stream=True,
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
    assert "Paris" in text


def test_it_lists_and_retrieves_models(client: openai.OpenAI) -> None:
    assert NANO in [model.id for model in client.models.list()]
    assert client.models.retrieve(NANO).id == NANO


def test_it_receives_a_structured_tool_call(client: openai.OpenAI) -> None:
    create: Any = client.chat.completions.create
    answer = create(
        model=NANO,
        messages=[{"role": "user", "content": "Turn the LED green."}],
        tools=[LED_TOOL],
        max_tokens=60,
        temperature=0,
    )
    (choice,) = answer.choices
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    (call,) = choice.message.tool_calls
    assert call.type == "function"
    assert call.function.name == "set_led"
    assert json.loads(call.function.arguments) == {"color": "green"}


def test_it_receives_a_streamed_tool_call_with_name_and_id_once(client: openai.OpenAI) -> None:
    create: Any = client.chat.completions.create
    stream = create(
        model=NANO,
        messages=[{"role": "user", "content": "Turn the LED green."}],
        tools=[LED_TOOL],
        max_tokens=60,
        temperature=0,
        stream=True,
    )
    choices = [chunk.choices[0] for chunk in stream if chunk.choices]
    deltas = [call for choice in choices for call in choice.delta.tool_calls or ()]
    assert [call.id for call in deltas if call.id] == [deltas[0].id]
    assert [c.function.name for c in deltas if c.function and c.function.name] == ["set_led"]
    assert {call.index for call in deltas} == {0}
    arguments = "".join(c.function.arguments or "" for c in deltas if c.function)
    assert json.loads(arguments) == {"color": "green"}
    assert "<" not in "".join(choice.delta.content or "" for choice in choices)
    assert choices[-1].finish_reason == "tool_calls"


def test_it_raises_its_own_errors(client: openai.OpenAI) -> None:
    messages: Any = [{"role": "user", "content": "Hi"}]
    with pytest.raises(openai.NotFoundError) as missing:
        client.chat.completions.create(model="no-such-model.gguf", messages=messages)
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as bad:
        client.chat.completions.create(model=NANO, messages=messages, temperature=-1)
    assert bad.value.param == "temperature"
