"""The JSON text of a command becomes the conversation that it says, or an error that names it."""

from __future__ import annotations

import math
from typing import Any

import pytest

from app.base.json_types import as_json
from app.engine.prompt.conversation import Conversation, read_conversation
from app.errors import InvalidRequest
from app.protocol import Render


def read(messages: bytes, tools: bytes = b"[]") -> Conversation:
    return read_conversation(Render(request_id="r", messages=messages, tools=tools))


def refused(messages: bytes, tools: bytes = b"[]") -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        read(messages, tools)
    return caught.value


def value(text: bytes) -> Any:
    return read(b'[{"x": ' + text + b"}]").messages[0]["x"]


def test_messages_and_tools_are_what_the_text_says() -> None:
    found = read(
        b'[{"role": "user", "content": "Gr\\u00fc\xc3\x9fe"}]', b' [ {"type": "function"} ]'
    )
    assert found.messages == [{"role": "user", "content": "Grüße"}]
    assert found.tools == [{"type": "function"}]


def test_keys_keep_their_order_and_the_last_of_two_counts() -> None:
    assert list(value(b'{"b": 1, "a": 2, "b": 3}').items()) == [("b", 3), ("a", 2)]


def test_numbers_that_json_lacks_are_taken_as_python_takes_them() -> None:
    assert math.isnan(value(b"NaN"))
    assert value(b"[1e400, -Infinity]") == [math.inf, -math.inf]


@pytest.mark.parametrize("number", [2**64 - 1, -(2**63)])
def test_whole_numbers_of_64_bits_are_taken(number: int) -> None:
    assert value(str(number).encode()) == number


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1, 10**30])
def test_larger_ones_are_the_clients_mistake(number: int) -> None:
    error = refused(b'[{"x": [%d]}]' % number)
    assert (error.param, "64 bits" in error.message) == ("body", True)


@pytest.mark.parametrize("text", [b"", b"{", b'[{"a": 1}', b"{}", b"null", b'["a"]', b"\xff"])
def test_text_that_is_no_list_of_objects_is_refused_by_its_name(text: bytes) -> None:
    assert refused(text).param == "messages"
    assert refused(b"[]", text).param == "tools"


def test_endless_nesting_is_the_clients_mistake() -> None:
    error = refused(b'[{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}]")
    assert error.param == "messages"


def test_half_a_surrogate_pair_is_a_replacement_character() -> None:
    command = Render(
        request_id="r",
        messages=b'[{"role": "user", "content": "\\ud83d", "\\ude00": ["\\ud83d\\ude00"]}]',
        tools=b'[{"function": {"name": "f", "parameters": {"properties": {"\\ud83d": {}}}}}]',
        template_kwargs={"\ud83d": ["\ude00"]},
    )
    lone = "\N{REPLACEMENT CHARACTER}"
    found = read_conversation(command)
    assert found.messages == [{"role": "user", "content": lone, lone: ["\U0001f600"]}]
    assert list(found.tools[0]["function"]["parameters"]["properties"]) == [lone]
    assert found.template_kwargs == {lone: [lone]}


@pytest.mark.parametrize(
    ("roles", "shown"),
    [
        (["user"], ["system", "user"]),
        (["assistant", "user"], ["system", "assistant", "user"]),
        (["system", "user"], ["system", "user"]),
        (["developer", "user"], ["developer", "user"]),
        (["user", "system"], ["system", "user", "system"]),
        ([], []),
    ],
)
def test_the_models_own_instructions_stand_before_a_conversation_without_any(
    roles: list[str], shown: list[str]
) -> None:
    messages = as_json([{"role": role, "content": "mine"} for role in roles])
    found = read_conversation(Render(request_id="r", messages=messages), "Be brief.").messages
    assert [message["role"] for message in found] == shown
    if len(shown) > len(roles):
        assert found[0]["content"] == "Be brief."
