"""Which tools an answer calls, and whether it calls any, is the client's choice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Literal

import openai
import pytest
from pydantic import BaseModel, Field

from tests.live.server import NANO, LiveServer, user

GREEN = "Turn the LED green."
STORY = "Tell me a story."
COLOURS = ["red", "green", "blue"]


def tool(name: str, description: str, **properties: Any) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    function = {"name": name, "description": description, "parameters": parameters}
    return {"type": "function", "function": function}


LED = tool("set_led", "Set the color of the LED.", color={"type": "string", "enum": COLOURS})
FAN = tool(
    "set_fan", "Set the speed of the fan.", speed={"type": "integer", "minimum": 1, "maximum": 3}
)
BELL = {"type": "function", "function": {"name": "ring_bell", "description": "Ring the bell."}}
TOOLS = [LED, FAN]


def named(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name}}


def allowed(mode: str, *names: str) -> dict[str, Any]:
    tools = [named(name) for name in names]
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}}


def called(choice: dict[str, Any]) -> list[str]:
    return [call["function"]["name"] for call in choice["message"].get("tool_calls") or ()]


def is_right(call: dict[str, Any]) -> bool:
    arguments = json.loads(call["function"]["arguments"])
    if call["function"]["name"] == "set_led":
        return arguments.keys() == {"color"} and arguments["color"] in COLOURS
    return arguments.keys() == {"speed"} and arguments["speed"] in (1, 2, 3)


def ask(server: LiveServer, content: str, **fields: Any) -> dict[str, Any]:
    answer = server.chat(content, **{"tools": TOOLS, "max_tokens": 200, **fields})
    choice: dict[str, Any] = answer["choices"][0]
    return choice


# ---------------------------------------------------------------- whether to call


@pytest.mark.parametrize("choice", ["auto", "required"])
def test_tools_need_a_name_and_nothing_else(server: LiveServer, choice: str) -> None:
    tools: list[dict[str, Any]] = [
        {"function": {"name": "ring_bell"}},
        {"type": "function", "function": {"name": "a", "description": None, "parameters": None}},
        {"type": "function", "function": {"name": "b", "parameters": {"properties": {"c": None}}}},
    ]
    found = ask(server, "Ring the bell.", tools=tools, tool_choice=choice)
    assert called(found) or choice == "auto"
    assert all(
        json.loads(call["function"]["arguments"]) is not None
        for call in found["message"].get("tool_calls") or ()
    )


def test_half_a_surrogate_pair_in_a_stored_call_ends_no_conversation(server: LiveServer) -> None:
    stored = {"name": "set_led", "arguments": r'{"color": "\ud83d"}'}
    messages = [
        user("\ud83d"),
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "1", "type": "function", "function": stored}],
        },
        {"role": "tool", "tool_call_id": "1", "content": "\ude00"},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "No \ud83d."}]},
        user("Why?"),
    ]
    body = {"messages": messages, "tools": TOOLS, "max_tokens": 5, "stop": ["\ud83d"]}
    answer = server.http.post("/v1/chat/completions", content=json.dumps(body))
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("question", [GREEN, STORY, "Hello!"])
def test_a_required_call_is_made_whatever_was_asked(server: LiveServer, question: str) -> None:
    choice = ask(server, question, tool_choice="required")
    assert called(choice)
    assert set(called(choice)) <= {"set_led", "set_fan"}
    assert all(is_right(call) for call in choice["message"]["tool_calls"])
    assert choice["message"]["content"] is None
    assert choice["finish_reason"] == "tool_calls"


def test_a_named_tool_is_the_one_that_is_called(server: LiveServer) -> None:
    choice = ask(server, GREEN, tool_choice=named("set_fan"))
    assert set(called(choice)) == {"set_fan"}
    assert all(is_right(call) for call in choice["message"]["tool_calls"])
    assert choice["finish_reason"] == "tool_calls"


def test_a_required_call_is_one_of_the_allowed(server: LiveServer) -> None:
    assert set(called(ask(server, GREEN, tool_choice=allowed("required", "set_fan")))) == {
        "set_fan"
    }
    both = allowed("required", "set_fan", "set_led")
    assert set(called(ask(server, GREEN, tool_choice=both))) <= {"set_fan", "set_led"}


def test_what_is_not_allowed_is_not_called(server: LiveServer) -> None:
    assert "set_led" in called(ask(server, GREEN, tool_choice="auto"))
    assert "set_led" not in called(ask(server, GREEN, tool_choice=allowed("auto", "set_fan")))


def test_the_choice_to_call_is_the_models_unless_it_is_taken(server: LiveServer) -> None:
    assert called(ask(server, GREEN)) == ["set_led"]
    chat = ask(server, STORY)
    assert called(chat) == []
    assert chat["message"]["content"]


def test_none_calls_nothing(server: LiveServer) -> None:
    choice = ask(server, GREEN, tool_choice="none", max_tokens=60)
    assert called(choice) == []
    assert choice["finish_reason"] in ("stop", "length")


def test_a_tool_without_parameters_is_called_with_an_empty_object(server: LiveServer) -> None:
    choice = ask(server, STORY, tools=[BELL], tool_choice="required")
    assert set(called(choice)) == {"ring_bell"}
    first = choice["message"]["tool_calls"][0]
    assert json.loads(first["function"]["arguments"]) == {}


@pytest.mark.parametrize("choice", ["required", "auto"])
def test_a_client_that_takes_one_call_gets_one(server: LiveServer, choice: str) -> None:
    both = "Turn the LED green and set the fan to 2."
    answer = ask(server, both, tool_choice=choice, parallel_tool_calls=False)
    assert len(called(answer)) == 1


def test_no_dice_lead_out_of_a_tools_schema(server: LiveServer) -> None:
    fields = {"tools": TOOLS, "tool_choice": "required", "parallel_tool_calls": False}
    answer = server.chat(STORY, temperature=1.8, seed=3, n=4, max_tokens=300, **fields)
    for choice in answer["choices"]:
        assert choice["finish_reason"] == "tool_calls"
        (call,) = choice["message"]["tool_calls"]
        assert is_right(call), call


def test_ids_of_calls_differ(server: LiveServer) -> None:
    fields = {"tools": TOOLS, "tool_choice": "required"}
    answer = server.chat(GREEN, n=3, temperature=1, max_tokens=200, **fields)
    ids = [call["id"] for choice in answer["choices"] for call in choice["message"]["tool_calls"]]
    assert len(set(ids)) == len(ids)


def test_an_answer_is_a_call_or_fits_its_constraint(server: LiveServer) -> None:
    choice = ask(server, GREEN, choice=["left", "right"])
    assert called(choice) or choice["message"]["content"] in ("left", "right")
    chat = ask(server, STORY, choice=["left", "right"])
    assert called(chat) or chat["message"]["content"] in ("left", "right")


def test_the_result_of_a_required_call_can_be_told(server: LiveServer) -> None:
    choice = ask(server, GREEN, tool_choice="required", parallel_tool_calls=False)
    (call,) = choice["message"]["tool_calls"]
    result = {"role": "tool", "tool_call_id": call["id"], "content": '{"status": "ok"}'}
    messages = [user(GREEN), choice["message"], result]
    body = {"messages": messages, "tools": TOOLS, "temperature": 0, "max_tokens": 60}
    answer = server.http.post("/v1/chat/completions", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["message"]["content"]


# ---------------------------------------------------------------- in pieces, and cut


@pytest.mark.parametrize(
    "choice", ["auto", "required", named("set_fan"), allowed("required", "set_led")], ids=str
)
def test_a_call_in_pieces_is_the_whole_one(server: LiveServer, choice: Any) -> None:
    fields: dict[str, Any] = {"tools": TOOLS, "tool_choice": choice, "max_tokens": 200}
    (whole,) = server.chat(GREEN, **fields)["choices"]
    pieces = [piece["choices"][0] for piece in server.stream(GREEN, **fields)]
    calls: list[dict[str, str]] = []
    for delta in (call for piece in pieces for call in piece["delta"].get("tool_calls") or ()):
        if "id" in delta:
            assert delta["index"] == len(calls)
            calls.append({"name": delta["function"]["name"], "arguments": ""})
        calls[delta["index"]]["arguments"] += delta["function"]["arguments"]
    assert calls == [call["function"] for call in whole["message"]["tool_calls"]]
    assert pieces[-1]["finish_reason"] == whole["finish_reason"] == "tool_calls"
    assert "".join(piece["delta"].get("content") or "" for piece in pieces) == ""


def test_a_limit_cuts_a_required_call_and_says_so(server: LiveServer) -> None:
    max_tokens = 0
    choice: dict[str, Any] = {"finish_reason": "length"}
    while choice["finish_reason"] == "length" and max_tokens < 40:
        max_tokens += 1
        choice = ask(server, GREEN, tool_choice=named("set_led"), max_tokens=max_tokens)
        assert not choice["message"]["content"]
        assert called(choice) in ([], ["set_led"])
    assert choice["finish_reason"] == "tool_calls"
    assert max_tokens > 3
    assert all(is_right(call) for call in choice["message"]["tool_calls"])


# ---------------------------------------------------------------- the official client


class SetLed(BaseModel):
    """Set the color of the LED."""

    color: Literal["red", "green", "blue"]
    brightness: int = Field(ge=0, le=9)


@pytest.fixture(scope="module")
def client(server: LiveServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="unused", max_retries=0) as found:
        yield found


MESSAGES: Any = [user(GREEN)]
PYDANTIC_TOOL = openai.pydantic_function_tool(SetLed, name="set_led")


def test_the_client_parses_arguments_into_its_own_type(client: openai.OpenAI) -> None:
    answer = client.chat.completions.parse(
        model=NANO,
        messages=MESSAGES,
        tools=[PYDANTIC_TOOL],
        tool_choice="required",
        parallel_tool_calls=False,
        temperature=0,
    )
    (choice,) = answer.choices
    assert choice.finish_reason == "tool_calls"
    (call,) = choice.message.tool_calls or []
    assert isinstance(call.function.parsed_arguments, SetLed)


def test_the_client_parses_a_streamed_call_as_it_comes(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(
        model=NANO,
        messages=MESSAGES,
        tools=[PYDANTIC_TOOL],
        tool_choice={"type": "function", "function": {"name": "set_led"}},
        parallel_tool_calls=False,
        temperature=0,
    ) as stream:
        events = list(stream)
        final = stream.get_final_completion()
    deltas = [event for event in events if event.type == "tool_calls.function.arguments.delta"]
    (done,) = [event for event in events if event.type == "tool_calls.function.arguments.done"]
    assert "".join(event.arguments_delta for event in deltas) == done.arguments
    assert isinstance(done.parsed_arguments, SetLed)
    (call,) = final.choices[0].message.tool_calls or []
    assert (call.function.name, call.function.parsed_arguments) == (
        "set_led",
        done.parsed_arguments,
    )
    assert final.choices[0].finish_reason == "tool_calls"


def test_the_client_parses_the_answer_where_no_tool_was_called(client: openai.OpenAI) -> None:
    class City(BaseModel):
        name: Literal["Paris", "Rome"]

    answer = client.chat.completions.parse(
        model=NANO,
        messages=[{"role": "user", "content": "What is the capital of France?"}],
        tools=[PYDANTIC_TOOL],
        response_format=City,
        temperature=0,
    )
    (choice,) = answer.choices
    assert choice.message.tool_calls or isinstance(choice.message.parsed, City)


# ---------------------------------------------------------------- what cannot be met


def test_a_strict_tool_with_a_keyword_that_cannot_be_enforced_is_refused(
    server: LiveServer,
) -> None:
    signs = {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 2, "uniqueItems": True}
    wanted = tool("show", "Show signs.", signs=signs)
    wanted["function"]["strict"] = True
    body = {"messages": MESSAGES, "tools": [LED, wanted], "tool_choice": "required"}
    response = server.http.post("/v1/chat/completions", json=body)
    assert response.status_code == 400
    error = response.json()["error"]
    assert error["param"].startswith("tools[1].function")
    assert "uniqueItems" in error["message"]
    del wanted["function"]["strict"]
    choice = ask(server, GREEN, tools=[LED, wanted], tool_choice=named("show"))
    arguments = json.loads(choice["message"]["tool_calls"][0]["function"]["arguments"])
    assert set(arguments["signs"]) <= {"a", "b"}


def test_a_strict_tool_whose_schema_means_nothing_is_refused_by_its_place(
    server: LiveServer,
) -> None:
    broken = tool("show", "Show signs.", signs={"type": 5})
    body = {"messages": MESSAGES, "tools": [LED, broken], "tool_choice": named("show")}
    response = server.http.post("/v1/chat/completions", json=body)
    assert response.status_code == 200
    broken["function"]["strict"] = True
    response = server.http.post("/v1/chat/completions", json=body)
    assert response.status_code == 400
    assert response.json()["error"]["param"].startswith("tools[1].function")
