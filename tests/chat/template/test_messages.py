"""How a client's messages are made fit for a template."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from app.chat.template.messages import normalise
from app.chat.template.traits import TemplateTraits
from app.errors import InvalidRequest

PLAIN = TemplateTraits()


def parts(*texts: str) -> list[dict[str, Any]]:
    return [{"type": "text", "text": text} for text in texts]


def one(message: dict[str, Any], traits: TemplateTraits = PLAIN) -> dict[str, Any]:
    return normalise([message], traits)[0]


def called(arguments: Any, traits: TemplateTraits = PLAIN) -> Any:
    message = {
        "role": "assistant",
        "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": arguments}}],
    }
    return one(message, traits)["tool_calls"][0]["function"]["arguments"]


def test_the_clients_messages_are_left_alone() -> None:
    messages = [
        {"role": "developer", "content": parts("a")},
        {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]},
    ]
    before = copy.deepcopy(messages)
    normalise(messages, PLAIN)
    assert messages == before


def test_text_parts_are_joined_where_a_template_takes_only_text() -> None:
    assert one({"role": "user", "content": parts("a", "b")})["content"] == "a\nb"
    assert one({"role": "user", "content": []})["content"] == ""


def test_parts_stay_where_a_template_takes_them_but_not_in_tool_results() -> None:
    traits = TemplateTraits(takes_content_parts=True)
    assert one({"role": "user", "content": parts("a", "b")}, traits)["content"] == parts("a", "b")
    assert one({"role": "tool", "content": parts("a")}, traits)["content"] == "a"


@pytest.mark.parametrize(
    ("content", "param"),
    [
        ([{"type": "text", "text": "x"}, {"type": "image_url"}], "messages[1].content[1].type"),
        ([{"text": "x"}], "messages[1].content[0].type"),
        ([{"type": "text"}], "messages[1].content[0].text"),
        (["x"], "messages[1].content[0]"),
        (7, "messages[1].content"),
    ],
)
def test_content_that_is_not_text_is_refused_by_its_place(content: Any, param: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        normalise([{"role": "user", "content": "x"}, {"role": "user", "content": content}], PLAIN)
    assert refusal.value.param == param
    assert param in refusal.value.message


@pytest.mark.parametrize("content", [None, "", [{"type": "refusal", "refusal": "No."}]])
def test_what_the_assistant_refused_is_its_text(content: Any) -> None:
    message = {"role": "assistant", "content": content, "refusal": "No."}
    assert one(message)["content"] == "No."
    traits = TemplateTraits(takes_content_parts=True)
    assert one(message, traits)["content"] in ("No.", parts("No."))


def test_a_refusal_beside_text_is_a_part_of_it_and_null_is_none() -> None:
    content = [*parts("a"), {"type": "refusal", "refusal": "No."}]
    assert one({"role": "assistant", "content": content})["content"] == "a\nNo."
    assert one({"role": "assistant", "content": "a", "refusal": None})["content"] == "a"
    assert one({"role": "assistant", "content": "a", "refusal": "No."})["content"] == "a"


@pytest.mark.parametrize(
    ("role", "part", "field"),
    [
        ("user", {"type": "refusal", "refusal": "No."}, "type"),
        ("assistant", {"type": "refusal"}, "refusal"),
        ("assistant", {"type": "refusal", "refusal": None}, "refusal"),
        ("assistant", {"type": ["refusal"]}, "type"),
    ],
)
def test_a_part_that_is_no_refusal_of_the_assistant_is_refused(
    role: str, part: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        one({"role": role, "content": [part]})
    assert refusal.value.param == f"messages[0].content[0].{field}"


@pytest.mark.parametrize("arguments", [r'{"a": ["\ud83d"]}', r'{"\ude00": "\ud83d\ud83d"}'])
def test_half_a_surrogate_pair_in_arguments_is_a_replacement_character(arguments: str) -> None:
    shown = str(called(arguments))
    assert "\N{REPLACEMENT CHARACTER}" in shown
    assert shown.encode()


def test_missing_and_null_content_are_empty_text() -> None:
    assert one({"role": "assistant"}) == {"role": "assistant", "content": ""}
    assert one({"role": "assistant", "content": None, "name": None}) == {
        "role": "assistant",
        "content": "",
    }


def test_content_is_null_beside_calls_only_for_a_template_that_wants_it() -> None:
    message = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f"}}]}
    assert one(message)["content"] == ""
    assert one(message, TemplateTraits(wants_null_content=True))["content"] is None


def test_developer_becomes_system_where_it_is_not_known() -> None:
    message = {"role": "developer", "content": "x"}
    assert one(message)["role"] == "system"
    assert one(message, TemplateTraits(knows_developer_role=True))["role"] == "developer"


def test_arguments_become_objects_where_they_parse() -> None:
    assert called('{"a": [1]}') == {"a": [1]}
    assert called({"a": 1}) == {"a": 1}
    assert called("") == {}
    assert called(None) == {}


@pytest.mark.parametrize("text", ['{"a": ', "[1]", "7", "hello", "[" * 100_000])
def test_arguments_that_are_no_object_stay_text(text: str) -> None:
    assert called(text) == text


@pytest.mark.parametrize("text", ['{"a": ', "[1]", "hello"])
def test_arguments_that_are_no_object_are_put_into_one_for_a_template_that_takes_no_text(
    text: str,
) -> None:
    traits = TemplateTraits(takes_text_arguments=False)
    assert called(text, traits) == {"arguments": text}
    assert called('{"a": 1}', traits) == {"a": 1}


def test_arguments_are_text_for_a_template_that_wants_text() -> None:
    traits = TemplateTraits(wants_object_arguments=False)
    assert called({"a": "ü"}, traits) == '{"a": "ü"}'
    assert called('{"a":1}', traits) == '{"a":1}'
    assert called("", traits) == "{}"


def test_calls_without_a_type_are_function_calls_and_no_calls_are_dropped() -> None:
    call = {"id": "1", "function": {"name": "f", "arguments": "{}"}}
    assert one({"role": "assistant", "tool_calls": [call]})["tool_calls"][0]["type"] == "function"
    assert "tool_calls" not in one({"role": "assistant", "content": "x", "tool_calls": []})


CALLING = {"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f"}}]}


def test_a_result_without_a_name_gets_that_of_its_call() -> None:
    def named(**fields: Any) -> Any:
        result = {"role": "tool", "content": "x", **fields}
        return normalise([CALLING, result], PLAIN)[1].get("name")

    assert named(tool_call_id="1") == "f"
    assert named(tool_call_id="1", name="g") == "g"
    assert named(tool_call_id="2") is None
    assert named() is None


@pytest.mark.parametrize("name", ["reasoning_content", "thinking", "reasoning"])
def test_reasoning_has_the_names_that_templates_read(name: str) -> None:
    message = one({"role": "assistant", "content": "x", name: "Hm."})
    assert (message["reasoning_content"], message["thinking"]) == ("Hm.", "Hm.")


def test_reasoning_content_goes_before_its_other_names() -> None:
    message = one({"role": "assistant", "reasoning": "b", "reasoning_content": "a"})
    assert (message["reasoning_content"], message["thinking"]) == ("a", "a")
    assert "thinking" not in one({"role": "assistant", "content": "x", "reasoning": None})


def test_thinking_is_left_out_beside_content_and_calls_where_it_would_be_refused() -> None:
    traits = TemplateTraits(refuses_thinking_beside_calls=True)
    spoken = {**CALLING, "content": "So", "reasoning_content": "Hm."}
    assert "thinking" not in one(spoken, traits)
    assert one({**spoken, "content": ""}, traits)["thinking"] == "Hm."
    assert one(spoken)["thinking"] == "Hm."
