"""Input items become the messages of a chat request.

It covers `app.api.dialects.responses.contents`.
"""

from __future__ import annotations

from typing import Any

import pytest

from app.api.dialects.responses.conversation import messages_of
from app.api.dialects.responses.thoughts import sealed
from app.api.dialects.responses.tools import Toolbox
from app.errors import InvalidRequest

Json = dict[str, Any]


def user(text: str = "Hi") -> Json:
    return {"role": "user", "content": text}


def said(text: str) -> Json:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {"type": "message", "role": "assistant", "id": "msg_1", "content": content}


def thought(text: str) -> Json:
    return {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": text}]}


def call(number: int = 1, **fields: Any) -> Json:
    item = {"type": "function_call", "name": "light", "call_id": f"c{number}", "arguments": "{}"}
    return {**item, **fields}


def output(number: int = 1, text: Any = "on") -> Json:
    return {"type": "function_call_output", "call_id": f"c{number}", "output": text}


def made(number: int = 1, name: str = "light", arguments: str = "{}") -> Json:
    """Return a call as the chat request has it."""
    function = {"name": name, "arguments": arguments}
    return {"id": f"c{number}", "type": "function", "function": function}


def result(number: int = 1, text: str = "on") -> Json:
    return {"role": "tool", "tool_call_id": f"c{number}", "content": text}


def assistant(content: str | None, calls: list[Json] | None = None, thoughts: str = "") -> Json:
    message: Json = {"role": "assistant", "content": content}
    message |= {"reasoning_content": thoughts} if thoughts else {}
    return message | ({"tool_calls": calls} if calls else {})


def refused(*items: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as error:
        messages_of(items)
    return error.value


# ---------------------------------------------------------------- messages


def test_messages_need_no_type_and_keep_their_roles() -> None:
    assert messages_of([user("a"), said("b"), user("c")]) == [
        user("a"),
        assistant("b"),
        user("c"),
    ]


@pytest.mark.parametrize("items", [[], [thought("hm")], [{"type": "unheard_of"}]])
def test_there_is_always_a_message(items: list[Json]) -> None:
    assert messages_of(items) == [user("")]


def test_parts_of_a_users_message_stay_parts() -> None:
    parts = [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}]
    text = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert messages_of([{"role": "user", "content": parts}]) == [{"role": "user", "content": text}]
    assert messages_of([{"role": "user", "content": parts[:1]}]) == [user("a")]
    assert messages_of([{"role": "user", "content": None}]) == [user("")]


def test_what_the_assistant_refused_is_what_it_said() -> None:
    refusal = {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}
    assert messages_of([refusal]) == [assistant("No.")]


def test_instructions_at_the_beginning_are_one_message() -> None:
    developer = [{"role": "developer", "content": text} for text in ("b", "c", "")]
    assert messages_of([*developer, user()], "a") == [
        {"role": "system", "content": "a\n\nb\n\nc"},
        user(),
    ]
    assert messages_of([*developer, user()]) == [
        {"role": "developer", "content": "b\n\nc"},
        user(),
    ]


def test_later_instructions_stay_where_they_are() -> None:
    later = {"role": "developer", "content": "b"}
    assert messages_of([user(), later, user()], "a")[1:] == [user(), later, user()]


# ---------------------------------------------------------------- turns of the assistant


@pytest.mark.parametrize(
    ("items", "messages"),
    [
        ([thought("hm"), said("a")], [assistant("a", None, "hm")]),
        ([thought("hm"), call(1), call(2)], [assistant(None, [made(1), made(2)], "hm")]),
        ([thought("hm"), said("a"), call()], [assistant("a", [made()], "hm")]),
        ([call(), said("a"), output()], [assistant("a", [made()]), result()]),
        (
            [call(1), call(2), output(1), output(2)],
            [assistant(None, [made(1), made(2)]), result(1), result(2)],
        ),
        (
            [call(1), output(1), call(2), output(2)],
            [assistant(None, [made(1)]), result(1), assistant(None, [made(2)]), result(2)],
        ),
        (
            [thought("a"), call(1), thought("b"), call(2), output(1), output(2)],
            [assistant(None, [made(1), made(2)], "a\nb"), result(1), result(2)],
        ),
        (
            [thought("a"), call(), output(), thought("b"), said("c")],
            [assistant(None, [made()], "a"), result(), assistant("c", None, "b")],
        ),
        ([said("a"), said("b")], [assistant("a"), assistant("b")]),
        ([said("a"), thought("hm"), said("b")], [assistant("a"), assistant("b", None, "hm")]),
        ([thought("hm"), user()], [user()]),
        (
            [said("a"), user(), call(), output()],
            [assistant("a"), user(), assistant(None, [made()]), result()],
        ),
    ],
)
def test_what_the_assistant_does_until_an_answer_is_one_message(
    items: list[Json], messages: list[Json]
) -> None:
    assert messages_of([user("?"), *items]) == [user("?"), *messages]


def test_calls_of_other_kinds_have_the_names_that_the_model_knows() -> None:
    space = {"type": "namespace", "name": "home", "tools": [{"type": "function", "name": "light"}]}
    custom = {"type": "custom_tool_call", "call_id": "c2", "name": "patch", "input": 'a "b"'}
    done = {"type": "custom_tool_call_output", "call_id": "c2", "output": "ok"}
    toolbox = Toolbox([space, {"type": "custom", "name": "patch"}])
    assert messages_of([user(), call(namespace="home"), custom, done], None, toolbox)[1:] == [
        assistant(None, [made(1, "home__light"), made(2, "patch", '{"input": "a \\"b\\""}')]),
        result(2, "ok"),
    ]


def test_thoughts_come_in_the_fullest_form_that_there_is() -> None:
    item = {**thought("short"), "encrypted_content": "from another service"}
    assert messages_of([item, said("a")]) == [assistant("a", None, "short")]
    item["encrypted_content"] = sealed("long")
    assert messages_of([item, said("a")]) == [assistant("a", None, "long")]
    item["content"] = [{"type": "reasoning_text", "text": "open"}]
    assert messages_of([item, said("a")]) == [assistant("a", None, "open")]


def test_an_output_may_be_a_list_of_texts() -> None:
    parts = [{"type": "input_text", "text": "a"}, {"type": "output_text", "text": "b"}]
    assert messages_of([call(), output(text=parts)])[-1] == result(text="a\nb")


def test_items_that_are_not_known_are_left_out_with_their_outputs() -> None:
    shell = {"type": "local_shell_call", "call_id": "c1", "action": {}}
    items = [user(), {"type": "web_search_call"}, {"type": "compaction"}, shell, output(1)]
    assert messages_of(items) == [user()]


# ---------------------------------------------------------------- refusals

IMAGE = {"type": "input_image", "image_url": "data:"}


@pytest.mark.parametrize(
    ("item", "param"),
    [
        ("Hi", "input[1]"),
        ({}, "input[1].type"),
        ({"type": 3}, "input[1].type"),
        ({"role": "tool", "content": "x"}, "input[1].role"),
        ({"role": 3, "content": "x"}, "input[1].role"),
        ({"role": "user", "content": 3}, "input[1].content"),
        ({"role": "user", "content": ["x"]}, "input[1].content[0]"),
        ({"role": "user", "content": [{"type": "x"}]}, "input[1].content[0].type"),
        ({"role": "user", "content": [{"type": ["x"]}]}, "input[1].content[0].type"),
        ({"role": "user", "content": [{"type": "input_text"}]}, "input[1].content[0].text"),
        ({"role": "user", "content": [IMAGE]}, "input[1].content[0].type"),
        (output(text=[IMAGE]), "input[1].output[0].type"),
        (output(text=3), "input[1].output"),
        (call(name=None), "input[1].name"),
        (call(call_id=3), "input[1].call_id"),
        (call(arguments={}), "input[1].arguments"),
        ({"type": "custom_tool_call", "call_id": "c", "name": "x"}, "input[1].input"),
        ({"type": "reasoning", "summary": "x"}, "input[1].summary"),
        ({"type": "reasoning", "content": ["x"]}, "input[1].content"),
        ({"type": "item_reference", "id": "msg_1"}, "input[1]"),
        ({"id": "msg_1"}, "input[1]"),
    ],
)
def test_an_item_that_cannot_be_read_is_named(item: Any, param: str) -> None:
    error = refused(user(), item)
    assert error.param == param
    assert error.message.startswith(f"{param}: ")


def test_images_are_refused_as_such() -> None:
    assert "images" in refused({"role": "user", "content": [IMAGE]}).message


def test_items_of_earlier_responses_are_not_counted() -> None:
    with pytest.raises(InvalidRequest) as error:
        messages_of([user(), said("a"), "x"], n_earlier=2)  # type: ignore[list-item]
    assert error.value.param == "input[0]"
