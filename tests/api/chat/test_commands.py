"""A dialect's request becomes a chat request, and its errors name the dialect's fields."""

from __future__ import annotations

import json

import pytest

from app.api.chat.commands import chat_of, renamed, to_count
from app.errors import CallerError, ContextOverflow, InvalidRequest, TemplateRefused

FIELDS = {
    "messages": [{"role": "user", "content": "Hi"}],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
}


def test_a_conversation_is_counted_like_it_is_answered() -> None:
    count = to_count(chat_of(FIELDS, str), "r")
    assert json.loads(count.messages) == FIELDS["messages"]
    assert json.loads(count.tools) == FIELDS["tools"]
    assert count.prompt_end == "opened"


@pytest.mark.parametrize(
    ("changed", "param"),
    [
        ({"temperature": "warm"}, "options.temperature"),
        ({"messages": [{"role": "nobody", "content": ""}]}, "options.messages[0].role"),
        ({"tool_choice": {"type": "function", "function": {"name": "g"}}}, "options.tool_choice"),
    ],
)
def test_an_error_names_the_field_of_the_dialect(changed: dict[str, object], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        chat_of({**FIELDS, **changed}, lambda name: f"options.{name}")
    assert caught.value.param == param
    assert caught.value.message.startswith(f"{param}: ")


@pytest.mark.parametrize(
    "error",
    [
        ContextOverflow(7, 5),
        TemplateRefused("no", param="messages"),
        InvalidRequest("messages: no", param="messages"),
    ],
)
def test_an_engines_error_stays_what_it_is_under_another_name(error: CallerError) -> None:
    kind, code, message = type(error), error.code, error.message
    found = renamed(error, lambda _name: "input")
    assert (type(found), found.code, found.param) == (kind, code, "input")
    assert found.message == str(found) == message.replace("messages: ", "input: ")


def test_an_error_of_no_field_names_none() -> None:
    assert renamed(TemplateRefused("no"), str.upper).param is None
