"""Ollama's messages and tools become OpenAI's; calls and results find each other by order."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.dialects.ollama.conversation import openai_messages, openai_tools
from app.api.dialects.ollama.schemas import OllamaMessage


def read(*messages: dict[str, Any]) -> list[dict[str, Any]]:
    return openai_messages([OllamaMessage.model_validate(message) for message in messages])


def called(*names: str, **more: Any) -> dict[str, Any]:
    calls = [{"function": {"name": name, "arguments": {"n": 1}}} for name in names]
    return {"role": "assistant", "tool_calls": calls, **more}


def result(content: str = "ok", **more: Any) -> dict[str, Any]:
    return {"role": "tool", "content": content, **more}


def test_texts_and_roles_are_kept() -> None:
    assert read(
        {"role": "System", "content": "Be short."},
        {"role": "user", "content": "Hi", "images": []},
        {"role": "assistant", "content": "Hello", "images": None, "thinking": ""},
    ) == [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
    ]


@pytest.mark.parametrize("message", [{"role": "user"}, {"role": "user", "content": None}])
def test_missing_content_is_empty(message: dict[str, Any]) -> None:
    assert read(message) == [{"role": "user", "content": ""}]


def test_thoughts_come_back_as_reasoning() -> None:
    (message,) = read(called("f", thinking="Let me see."))
    assert message["reasoning_content"] == "Let me see."
    assert "content" not in message


def test_calls_get_ids_that_are_the_same_in_every_turn() -> None:
    first = read(called("f", "g"), result(), result())
    again = read(called("f", "g"), result(), result(), {"role": "user", "content": "and?"})
    ids = [call["id"] for call in first[0]["tool_calls"]]
    assert len(set(ids)) == 2
    assert all(len(each) == 9 and each.isalnum() for each in ids)
    assert again[:3] == first


def test_ids_of_the_client_are_kept() -> None:
    call = {"id": "c1", "function": {"index": 0, "name": "f", "arguments": {}}}
    messages = read({"role": "assistant", "tool_calls": [call]}, result(tool_call_id="c1"))
    assert messages[0]["tool_calls"][0]["id"] == "c1"
    assert messages[1] == {"role": "tool", "content": "ok", "tool_call_id": "c1", "name": "f"}


@pytest.mark.parametrize(
    ("arguments", "expected"), [({"a": 1}, {"a": 1}), ('{"a":1}', '{"a":1}'), (None, {}), ("", {})]
)
def test_arguments_are_an_object_or_text(arguments: Any, expected: Any) -> None:
    call = {"function": {"name": "f", "arguments": arguments}}
    (message,) = read({"role": "assistant", "tool_calls": [call]})
    assert message["tool_calls"][0]["function"] == {"name": "f", "arguments": expected}


def names_of_results(*messages: dict[str, Any]) -> list[tuple[str | None, str | None]]:
    read_messages = read(*messages)
    names = {
        call["id"]: call["function"]["name"]
        for message in read_messages
        for call in message.get("tool_calls", ())
    }
    return [
        (names.get(message.get("tool_call_id", "")), message.get("name"))
        for message in read_messages
        if message["role"] == "tool"
    ]


def test_results_without_id_or_name_follow_the_order_of_the_calls() -> None:
    assert names_of_results(called("f", "g"), result(), result()) == [("f", "f"), ("g", "g")]


def test_results_with_a_name_find_the_call_of_that_name() -> None:
    found = names_of_results(called("f", "g"), result(tool_name="g"), result())
    assert found == [("g", "g"), ("f", "f")]
    found = names_of_results(called("f", "g"), result(name="g"), result(tool_name="f"))
    assert found == [("g", "g"), ("f", "f")]


def test_calls_of_one_name_are_answered_in_their_order() -> None:
    messages = read(called("f", "f"), result("1", tool_name="f"), result("2", tool_name="f"))
    ids = [call["id"] for call in messages[0]["tool_calls"]]
    assert [message["tool_call_id"] for message in messages[1:]] == ids


def test_a_name_that_nobody_called_takes_the_next_call_and_stays() -> None:
    assert names_of_results(called("f"), result(tool_name="other")) == [("f", "other")]


def test_results_belong_to_the_last_answer_only() -> None:
    found = names_of_results(
        called("f", "g"), result(), {"role": "user", "content": "and?"}, called("h"), result()
    )
    assert found == [("f", "f"), ("h", "h")]


def test_a_result_that_nobody_called_has_no_id() -> None:
    assert read(result(), called("f"), result(), result("more", tool_name="f")) == [
        {"role": "tool", "content": "ok"},
        *read(called("f"), result()),
        {"role": "tool", "content": "more", "name": "f"},
    ]


@given(st.lists(st.sampled_from(["f", "g", "h"]), min_size=1, max_size=6), st.data())
def test_each_call_has_one_result_in_whatever_order_they_come(
    names: list[str], data: st.DataObject
) -> None:
    order = data.draw(st.permutations(names))
    messages = read(called(*names), *(result(tool_name=name) for name in order))
    ids = [message["tool_call_id"] for message in messages[1:]]
    assert sorted(ids) == sorted(call["id"] for call in messages[0]["tool_calls"])
    assert [
        name
        for name, _ in names_of_results(called(*names), *(result(tool_name=name) for name in order))
    ] == list(order)


@pytest.mark.parametrize("tools", [None, []])
def test_no_tools_are_none(tools: Any) -> None:
    assert openai_tools(tools) is None


def test_nulls_of_tools_are_left_out_but_values_are_kept() -> None:
    tool = {
        "type": None,
        "function": {
            "name": "f",
            "description": None,
            "parameters": {
                "type": "object",
                "$defs": None,
                "properties": {
                    "a": {"type": "string", "enum": ["x", None], "default": None, "items": None},
                    "b": {"anyOf": [{"type": "string", "format": None}]},
                },
            },
        },
    }
    assert openai_tools([tool]) == [
        {
            "function": {
                "name": "f",
                "parameters": {
                    "type": "object",
                    "properties": {
                        "a": {"type": "string", "enum": ["x", None], "default": None},
                        "b": {"anyOf": [{"type": "string"}]},
                    },
                },
            }
        }
    ]
