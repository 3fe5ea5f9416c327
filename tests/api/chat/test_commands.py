"""A dialect's request becomes a chat request, and its errors name the dialect's fields."""

from __future__ import annotations

import json

import pytest

from app.api.chat.commands import chat_of, to_count
from app.errors import InvalidRequest

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
