"""Tools of every type become functions, and calls of those find them again.

It covers `app.api.dialects.responses.tools.custom_grammar`.
"""

from __future__ import annotations

from typing import Any

import pytest

from app.api.dialects.responses.tools.toolbox import Toolbox, choice_for_chat
from app.errors import InvalidRequest

FUNCTION = {"type": "function", "name": "light", "parameters": {"type": "object"}}
CUSTOM = {"type": "custom", "name": "patch", "description": "Changes files."}
SPACE = {"type": "namespace", "name": "home", "tools": [FUNCTION, CUSTOM]}


def custom(form: Any) -> dict[str, Any]:
    """Return the function that a custom tool with this format becomes."""
    (offered,) = Toolbox([{**CUSTOM, "format": form}]).functions
    function: dict[str, Any] = offered["function"]
    return function


def pattern(syntax: str, definition: str) -> str | None:
    form = {"type": "grammar", "syntax": syntax, "definition": definition}
    found: str | None = custom(form)["parameters"]["properties"]["input"].get("pattern")
    return found


def refused(*definitions: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as error:
        Toolbox(definitions)
    return error.value


def test_a_function_is_offered_with_the_fields_that_say_something() -> None:
    null = {"description": None, "strict": False, "defer_loading": True}
    (offered,) = Toolbox([{**FUNCTION, **null}]).functions
    name, parameters = FUNCTION["name"], FUNCTION["parameters"]
    assert offered == {"type": "function", "function": {"name": name, "parameters": parameters}}
    (offered,) = Toolbox([{**FUNCTION, "strict": True}]).functions
    assert offered["function"]["strict"] is True


def test_a_custom_tool_is_a_function_of_one_text() -> None:
    for form in (None, {"type": "text"}):
        function = custom(form)
        assert function["description"] == "Changes files."
        assert function["parameters"]["properties"] == {"input": {"type": "string"}}
        assert function["parameters"]["required"] == ["input"]


def test_a_grammar_holds_a_custom_tools_text_and_is_shown_to_the_model() -> None:
    assert pattern("regex", "^[a-z]+?$") == "^(?:[a-z]+)$"
    assert pattern("lark", 'start: "a"') == "^(?:(?:a))$"
    assert pattern("lark", 'start: "(" start ")" | "a"') is None
    form = {"type": "grammar", "grammar": {"syntax": "lark", "definition": 'start: "a"'}}
    assert 'start: "a"' in custom(form)["description"]


@pytest.mark.parametrize(
    ("form", "param"),
    [
        ("text", "format"),
        ({"type": "gbnf"}, "format.type"),
        ({"type": "grammar", "syntax": "gbnf", "definition": ""}, "format.syntax"),
        ({"type": "grammar", "syntax": "lark"}, "format.definition"),
        ({"type": "grammar", "syntax": "lark", "definition": "x" * 70_000}, "format.definition"),
    ],
)
def test_a_format_that_is_none_is_refused(form: Any, param: str) -> None:
    assert refused(FUNCTION, {**CUSTOM, "format": form}).param == f"tools[1].{param}"


def test_tools_of_a_namespace_get_names_that_no_other_has() -> None:
    taken = {"type": "function", "name": "home__light"}
    toolbox = Toolbox([SPACE, taken])
    offered = [each["function"]["name"] for each in toolbox.functions]
    assert offered == ["home__light_2", "home__patch", "home__light"]
    found = toolbox.by_model_name("home__light_2")
    assert (found.kind, found.name, found.namespace) == ("function", "light", "home")
    assert toolbox.by_model_name("home__patch").kind == "custom"
    assert toolbox.by_model_name("home__light").namespace == ""


def test_earlier_calls_have_the_names_that_the_model_knows() -> None:
    toolbox = Toolbox([SPACE])
    assert toolbox.model_name("light", "home") == "home__light"
    assert toolbox.model_name("light", "") == "home__light"
    assert toolbox.model_name("gone", "home") == "home__gone"
    assert toolbox.model_name("gone", "") == "gone"
    assert toolbox.model_name("light", "my home/1") == "my_home_1__light"


@pytest.mark.parametrize("kind", ["web_search", "mcp", "local_shell", "tool_search", "new"])
def test_tools_of_other_types_are_left_out(kind: str) -> None:
    toolbox = Toolbox([{"type": kind, "name": "x"}, FUNCTION])
    assert [tool.place for tool in toolbox.tools] == ["tools[1]"]
    assert len(toolbox.functions) == 1


@pytest.mark.parametrize(
    ("definition", "param"),
    [
        ({}, "tools[0].type"),
        ({"type": 3}, "tools[0].type"),
        ({"type": "namespace", "tools": []}, "tools[0].name"),
        ({"type": "namespace", "name": "x"}, "tools[0].tools"),
        ({"type": "namespace", "name": "x", "tools": ["y"]}, "tools[0].tools"),
        ({"type": "namespace", "name": "x", "tools": [{}]}, "tools[0].tools[0].type"),
    ],
)
def test_a_definition_that_is_none_is_refused(definition: Any, param: str) -> None:
    error = refused(definition)
    assert error.param == param
    assert error.message.startswith(f"{param}: ")


NAMED = {"type": "function", "function": {"name": "home__light"}}


@pytest.mark.parametrize(
    ("choice", "chat"),
    [
        (None, None),
        ("required", "required"),
        ({"type": "function", "name": "light", "namespace": "home"}, NAMED),
        ({"type": "function", "name": "light"}, NAMED),
        ({"type": "function", "function": {"name": "light"}}, NAMED),
        (
            {"type": "custom", "name": "patch"},
            {"type": "function", "function": {"name": "home__patch"}},
        ),
        (
            {
                "type": "allowed_tools",
                "mode": "required",
                "tools": [{"type": "custom", "name": "patch"}, {"type": "web_search"}],
            },
            {
                "type": "allowed_tools",
                "mode": "required",
                "tools": [{"type": "function", "name": "home__patch"}],
            },
        ),
    ],
)
def test_a_choice_of_tools_names_functions(choice: Any, chat: Any) -> None:
    assert choice_for_chat(choice, Toolbox([SPACE])) == chat


@pytest.mark.parametrize(
    ("choice", "param"),
    [
        ({"type": "web_search"}, "tool_choice"),
        ({"type": "allowed_tools", "tools": [{"type": "mcp"}]}, "tool_choice.tools"),
        ({"type": "allowed_tools"}, "tool_choice.tools"),
    ],
)
def test_a_choice_of_a_tool_that_runs_elsewhere_is_refused(choice: Any, param: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        choice_for_chat(choice, Toolbox([SPACE]))
    assert error.value.param == param
