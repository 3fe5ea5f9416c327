"""A request says which tools may or must be called, in any of OpenAI's ways."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.api.schemas.tools import MAX_TOOL_SCHEMA_BYTES
from app.protocol import ToolChoice
from tests.api.requests import command, refusal


def tool(name: str, **function: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **function}}


def named(name: str) -> dict[str, Any]:
    return tool(name)


def allowed(mode: str, *names: str) -> dict[str, Any]:
    tools = [named(name) for name in names]
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}}


LED, FAN = tool("set_led"), tool("set_fan")
TOOLS = [LED, FAN]

# ---------------------------------------------------------------- what may be called


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (None, ToolChoice()),
        ("auto", ToolChoice()),
        ("required", ToolChoice(is_required=True)),
        (named("set_fan"), ToolChoice(is_required=True, names=["set_fan"])),
        (
            {"type": "function", "name": "set_fan"},
            ToolChoice(is_required=True, names=["set_fan"]),
        ),
        (allowed("auto", "set_fan"), ToolChoice(names=["set_fan"])),
        (
            allowed("required", "set_fan", "set_led", "set_fan"),
            ToolChoice(is_required=True, names=["set_fan", "set_led"]),
        ),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [named("set_led")]},
            ToolChoice(is_required=True, names=["set_led"]),
        ),
        (
            {
                "type": "allowed_tools",
                "mode": "auto",
                "tools": [{"type": "function", "name": "set_led"}],
            },
            ToolChoice(names=["set_led"]),
        ),
    ],
)
def test_a_choice_reaches_the_engine_and_all_tools_stay_in_the_prompt(
    choice: Any, expected: ToolChoice
) -> None:
    made = command(tools=TOOLS, tool_choice=choice)
    assert made.tool_choice == expected
    assert json.loads(made.tools) == TOOLS


def test_none_hides_the_tools() -> None:
    made = command(tools=TOOLS, tool_choice="none")
    assert (made.tools, made.tool_choice) == (b"[]", ToolChoice())


@pytest.mark.parametrize("choice", [None, "none", "auto"])
def test_without_tools_nothing_has_to_be_called(choice: str | None) -> None:
    assert command(tool_choice=choice).tool_choice == ToolChoice()


@pytest.mark.parametrize(("given", "expected"), [(None, True), (True, True), (False, False)])
def test_several_calls_may_come_unless_the_client_takes_only_one(
    given: bool | None, expected: bool
) -> None:
    for choice in ("auto", "required", named("set_led"), allowed("auto", "set_led")):
        made = command(tools=TOOLS, tool_choice=choice, parallel_tool_calls=given)
        assert made.tool_choice.parallel is expected


@pytest.mark.parametrize(
    "choice",
    [
        "required",
        named("set_led"),
        named("set_pump"),
        allowed("auto", "set_led"),
        allowed("required", "set_led"),
    ],
)
@pytest.mark.parametrize("tools", [None, []])
def test_what_is_not_offered_cannot_be_called(choice: Any, tools: Any) -> None:
    error = refusal(tools=tools, tool_choice=choice)
    assert error.param == "tool_choice"


@pytest.mark.parametrize("choice", [named("set_pump"), allowed("auto", "set_led", "set_pump")])
def test_a_name_that_is_not_offered_is_told(choice: Any) -> None:
    error = refusal(tools=TOOLS, tool_choice=choice)
    assert error.param == "tool_choice"
    assert "'set_pump'" in error.message


@pytest.mark.parametrize(
    ("choice", "param"),
    [
        ("any", "tool_choice"),
        ("", "tool_choice"),
        (5, "tool_choice"),
        ([], "tool_choice"),
        ({}, "tool_choice"),
        ({"type": "custom", "custom": {"name": "x"}}, "tool_choice"),
        ({"type": "function"}, "tool_choice.function"),
        ({"type": "function", "function": {}}, "tool_choice.function.name"),
        ({"type": "function", "function": "set_led"}, "tool_choice.function"),
        ({"type": "function", "name": 5}, "tool_choice.name"),
        ({"type": "allowed_tools"}, "tool_choice.allowed_tools"),
        (allowed("sometimes", "set_led"), "tool_choice.allowed_tools.mode"),
        (allowed("auto"), "tool_choice.allowed_tools.tools"),
        ({"type": "allowed_tools", "mode": "auto", "tools": []}, "tool_choice.tools"),
        ({"type": "allowed_tools", "tools": [named("set_led")]}, "tool_choice.mode"),
        (
            {"type": "allowed_tools", "mode": "auto", "tools": [LED, "set_fan"]},
            "tool_choice.tools[1]",
        ),
        (
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "mcp", "name": "x"}]},
            "tool_choice.tools[0].type",
        ),
    ],
)
def test_a_wrong_choice_is_refused_by_the_name_of_its_field(choice: Any, param: str) -> None:
    assert refusal(tools=TOOLS, tool_choice=choice).param == param


def test_a_choice_of_another_kind_is_told_the_right_ones() -> None:
    message = refusal(tools=TOOLS, tool_choice={"type": "custom"}).message
    assert all(word in message for word in ("none", "auto", "required", "allowed_tools"))
    message = refusal(tools=TOOLS, tool_choice="any").message
    assert all(word in message for word in ("none", "auto", "required"))


@pytest.mark.parametrize("choice", ["required", named("set_led"), allowed("required", "set_led")])
def test_an_answer_cannot_be_a_call_and_fit_a_grammar(choice: Any) -> None:
    error = refusal(tools=TOOLS, tool_choice=choice, regex="[a-z]+")
    assert error.param == "tool_choice"
    assert "regex" in error.message


@pytest.mark.parametrize("choice", [None, "auto", allowed("auto", "set_led")])
def test_an_answer_that_may_be_a_call_may_fit_a_grammar_otherwise(choice: Any) -> None:
    made = command(tools=TOOLS, tool_choice=choice, regex="[a-z]+")
    assert made.constraint is not None
    assert json.loads(made.tools) == TOOLS


# ---------------------------------------------------------------- what is offered


@pytest.mark.parametrize(
    "function",
    [
        {},
        {"parameters": None},
        {"parameters": {}},
        {"parameters": {"properties": {}}},
        {"parameters": {"type": "object"}, "strict": True},
        {"parameters": {"type": "object"}, "strict": None, "description": None},
    ],
)
def test_a_tool_reaches_the_engine_as_it_was_sent(function: dict[str, Any]) -> None:
    made = command(tools=[tool("f", **function)])
    assert json.loads(made.tools) == [tool("f", **function)]


def test_the_keys_of_a_tools_schema_keep_their_order() -> None:
    properties = {name: {"type": "string"} for name in ("zebra", "ant", "mole")}
    made = command(tools=[tool("f", parameters={"type": "object", "properties": properties})])
    parameters = json.loads(made.tools)[0]["function"]["parameters"]
    assert list(parameters["properties"]) == [
        "zebra",
        "ant",
        "mole",
    ]


@pytest.mark.parametrize(
    ("function", "param"),
    [
        ({"strict": "yes"}, "tools[0].function.strict"),
        ({"strict": 1}, "tools[0].function.strict"),
        ({"parameters": {"type": "string"}}, "tools[0].function.parameters"),
        ({"parameters": {"type": ["object", "null"]}}, "tools[0].function.parameters"),
        ({"parameters": {"type": None}}, "tools[0].function.parameters"),
        ({"parameters": []}, "tools[0].function.parameters"),
        ({"parameters": {"minimum": float("nan")}}, "tools[0].function.parameters"),
    ],
)
def test_a_wrong_tool_is_refused_by_the_name_of_its_field(
    function: dict[str, Any], param: str
) -> None:
    assert refusal(tools=[tool("f", **function)]).param == param


def test_two_tools_of_one_name_are_refused() -> None:
    error = refusal(tools=[LED, FAN, LED])
    assert error.param == "tools[2].function.name"
    assert "'set_led'" in error.message


def test_the_schemas_of_all_tools_have_one_limit() -> None:
    quarter = {"type": "object", "description": "x" * (MAX_TOOL_SCHEMA_BYTES // 4)}
    assert command(tools=[tool(f"f{n}", parameters=quarter) for n in range(3)]).tools
    error = refusal(tools=[tool(f"f{n}", parameters=quarter) for n in range(4)])
    assert error.param == "tools"
    assert str(MAX_TOOL_SCHEMA_BYTES) in error.message


def test_a_tool_that_does_not_say_what_it_is_is_a_function() -> None:
    assert command(tools=[{"function": {"name": "f"}}]).tools
    assert command(tools=[{"type": None, "function": {"name": "f"}}]).tools
