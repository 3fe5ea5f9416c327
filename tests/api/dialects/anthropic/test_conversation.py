"""Anthropic's messages as OpenAI's.

`app.api.dialects.anthropic.blocks` reads their blocks, `app.api.dialects.anthropic.call_ids` names
the calls.
"""

from __future__ import annotations

from typing import Any

import pytest

from app.protocol import CacheMark
from tests.api.dialects.anthropic.anthropic_requests import (
    SIGNER,
    USER,
    chat_of,
    mapped_of,
    messages_of,
    refusal,
)

CALL: dict[str, Any] = {
    "type": "tool_use",
    "id": "toolu_1",
    "name": "get_weather",
    "input": {"city": "Köln"},
}


def text(content: str, **fields: Any) -> dict[str, Any]:
    return {"type": "text", "text": content, **fields}


def user(*blocks: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": list(blocks)}


def assistant(*blocks: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", "content": list(blocks)}


def result(content: Any, call_id: str = "toolu_1", **fields: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": call_id, "content": content, **fields}


# ---------------------------------------------------------------- instructions


def test_instructions_are_the_first_message() -> None:
    assert messages_of(USER, system="Be brief.") == [
        {"role": "system", "content": "Be brief."},
        USER,
    ]
    blocks = [text("Be brief.", cache_control={"type": "ephemeral"}), text("Be kind.")]
    assert messages_of(USER, system=blocks)[0]["content"] == "Be brief.\nBe kind."


@pytest.mark.parametrize("system", [None, "", [], [text("")]])
def test_empty_instructions_are_none(system: Any) -> None:
    assert messages_of(USER, system=system) == [USER]


BILLING = "x-anthropic-billing-header: cc_version=2.1.197.ac5; cc_entrypoint=cli;"


@pytest.mark.parametrize(
    "system", [[text(BILLING), text("Be brief.")], f"{BILLING}\n\nBe brief.", [text("Be brief.")]]
)
def test_what_claude_code_says_of_billing_is_not_in_the_prompt(system: Any) -> None:
    assert messages_of(USER, system=system)[0]["content"] == "Be brief."


def test_only_a_whole_block_about_billing_is_left_out() -> None:
    assert messages_of(USER, system=[text(BILLING)]) == [USER]
    assert messages_of(USER, system=BILLING) == [USER]
    quoted = f"They send {BILLING}"
    assert messages_of(USER, system=quoted)[0]["content"] == quoted
    assert messages_of({"role": "user", "content": BILLING})[0]["content"] == BILLING


def test_instructions_between_turns_and_at_the_end_stay_where_they_are() -> None:
    late = {"role": "system", "content": [text("Now in verse.")]}
    told = {"role": "system", "content": "Now in verse."}
    answer = {"role": "assistant", "content": "No."}
    assert messages_of(USER, late) == [USER, told]
    assert messages_of(USER, late, answer, USER, late) == [USER, told, answer, USER, told]


def test_instructions_for_one_turn_are_gone_after_it() -> None:
    late = {"role": "system", "content": "Now in verse.", "clear_at": "next_user_message"}
    answer = {"role": "assistant", "content": "No."}
    assert messages_of(USER, late)[1]["role"] == "system"
    assert messages_of(USER, late, answer, USER) == [USER, answer, USER]


# ---------------------------------------------------------------- turns


def test_the_blocks_of_a_turn_are_lines() -> None:
    blocks = [text("<reminder>"), text("Hi", cache_control={"type": "ephemeral"})]
    assert messages_of(user(*blocks)) == [{"role": "user", "content": "<reminder>\nHi"}]


def test_turns_of_one_role_in_a_row_are_one_turn() -> None:
    answers = [assistant(text("A")), assistant(text("B"), CALL)]
    first, answer, *_ = messages_of(USER, user(text("there")), *answers, user(result("x")))
    assert first == {"role": "user", "content": "Hi\nthere"}
    assert answer["content"] == "A\nB"
    assert len(answer["tool_calls"]) == 1


def test_results_come_before_the_rest_of_the_turn() -> None:
    given = user(result("a"), text("and?"), result([text("b"), text("c")], "toolu_2"))
    assert messages_of(USER, assistant(CALL, {**CALL, "id": "toolu_2"}), given)[2:] == [
        {"role": "tool", "tool_call_id": "call_1", "content": "a"},
        {"role": "tool", "tool_call_id": "call_2", "content": "b\nc"},
        {"role": "user", "content": "and?"},
    ]


@pytest.mark.parametrize(
    ("content", "fields", "shown"),
    [
        (None, {}, ""),
        ("", {"is_error": True}, "Error"),
        ("gone", {"is_error": True}, "gone"),
        ([], {}, ""),
        ([{"type": "tool_reference", "tool_name": "x"}], {}, ""),
    ],
)
def test_a_result_is_text(content: Any, fields: dict[str, Any], shown: str) -> None:
    given = user(result(content, **fields))
    assert messages_of(USER, assistant(CALL), given)[-1]["content"] == shown


def test_calls_have_the_ids_that_they_had_here_or_elsewhere() -> None:
    calls = [CALL, {**CALL, "id": "fc-9", "input": None}]
    answer, *results = messages_of(USER, assistant(*calls), user(result("a"), result("b", "fc-9")))[
        1:
    ]
    assert answer["content"] == ""
    assert [call["id"] for call in answer["tool_calls"]] == ["call_1", "fc-9"]
    assert [each["tool_call_id"] for each in results] == ["call_1", "fc-9"]
    functions = [call["function"] for call in answer["tool_calls"]]
    assert functions[0] == {"name": "get_weather", "arguments": '{"city": "Köln"}'}
    assert functions[1]["arguments"] == "{}"


def test_the_text_of_an_answer_is_its_pieces() -> None:
    blocks = [text("Let me"), text(" see."), CALL]
    assert messages_of(USER, assistant(*blocks), user(result("x")))[1]["content"] == "Let me see."


def test_reasoning_comes_back_if_it_was_signed_here() -> None:
    own = {"type": "thinking", "thinking": "So?", "signature": SIGNER.sign("So?")}
    for other in ({"signature": ""}, {"signature": None}, {"thinking": "No?"}, {"signature": "é"}):
        blocks = [{**own, **other}, text("Yes.")]
        assert messages_of(USER, assistant(*blocks), USER)[1] == {
            "role": "assistant",
            "content": "Yes.",
        }
    hidden = {"type": "redacted_thinking", "data": "x"}
    answer = messages_of(USER, assistant(own, hidden, text("Yes.")), USER)[1]
    assert answer == {"role": "assistant", "content": "Yes.", "reasoning_content": "So?"}


@pytest.mark.parametrize("kind", ["server_tool_use", "web_search_tool_result", "mcp_tool_use"])
def test_what_other_servers_tools_did_is_left_out(kind: str) -> None:
    blocks = [{"type": kind, "id": "x", "content": [5]}, text("Yes.")]
    assert messages_of(USER, assistant(*blocks), USER)[1]["content"] == "Yes."


@pytest.mark.parametrize(
    ("block", "shown"),
    [
        ({"source": {"type": "text", "media_type": "text/plain", "data": "D"}}, "D"),
        ({"title": "T", "context": "C", "source": {"type": "content", "content": "D"}}, "T\nC\nD"),
        ({"source": {"type": "content", "content": [text("D"), text("E")]}}, "D\nE"),
    ],
)
def test_the_text_of_documents_is_shown(block: dict[str, Any], shown: str) -> None:
    assert messages_of(user({"type": "document", **block}))[0]["content"] == shown


def test_search_results_are_shown() -> None:
    found = {"type": "search_result", "title": "T", "source": "U", "content": [text("D")]}
    assert messages_of(user(found))[0]["content"] == "T\nU\nD"
    assert messages_of(USER, assistant(CALL), user(result([found])))[-1]["content"] == "T\nU\nD"


# ---------------------------------------------------------------- marks


MARK: dict[str, Any] = {"cache_control": {"type": "ephemeral"}}


def marks_of(*messages: dict[str, Any], **fields: Any) -> list[int]:
    """Return after how many messages something is to be cached."""
    return [mark.messages for mark in mapped_of(messages=list(messages), **fields).marks]


def test_marks_are_at_the_ends_of_the_turns_they_stand_in() -> None:
    calls = assistant(CALL, {**CALL, "id": "toolu_2"})
    results = user(result("a", **MARK), result("b", "toolu_2"), text("and?"))
    assert marks_of(USER, calls, results) == [3]
    asked = user(text("a"), text("b", **MARK))
    assert marks_of(asked, calls, user(result("a"), text("?", **MARK))) == [1, 4]
    assert marks_of(USER, assistant({**CALL, **MARK}), user(result("a"))) == [2]
    assert marks_of(USER, {"role": "system", "content": [text("Now in verse.", **MARK)]}) == [2]
    assert marks_of(USER, user(text("there", **MARK)), {"role": "assistant", "content": "A"}) == [1]


@pytest.mark.parametrize(
    ("blocks", "before"),
    [
        ([text("book", **MARK), text("what?")], "book\n"),
        ([text("a", **MARK), text("book", **MARK), text("what?"), text("who?")], "a\nbook\n"),
        ([text(""), text("book", **MARK), text(""), text("what?")], "book\n"),
        ([text("what?"), text("book", **MARK), text("")], ""),
        ([text("", **MARK), text("what?")], ""),
    ],
)
def test_a_mark_within_a_turn_is_behind_its_text(blocks: list[Any], before: str) -> None:
    (mark,) = mapped_of(messages=[USER, assistant(text("So.")), user(*blocks)]).marks
    expected = CacheMark(messages=2, characters=len(before)) if before else CacheMark(messages=3)
    assert mark == expected


def test_a_mark_keeps_its_place_where_turns_are_joined() -> None:
    book = user(text("book", **MARK), text("what?"))
    (first,) = mapped_of(messages=[book, USER]).marks
    assert first == CacheMark(messages=0, characters=len("book\n"))
    (later,) = mapped_of(messages=[user(text("Hi")), book]).marks
    assert later == CacheMark(messages=0, characters=len("Hi\nbook\n"))
    (whole,) = mapped_of(messages=[user(text("book", **MARK)), USER]).marks
    assert whole == CacheMark(messages=0, characters=len("book\n"))


def test_marks_of_instructions_and_tools_are_at_the_beginning() -> None:
    system = [text("Be brief.", **MARK), text("Be kind.", **MARK)]
    tools = [{"name": "f"}, {"name": "g", **MARK}]
    assert marks_of(USER, system=system) == [1]
    assert marks_of(USER, tools=tools) == [0]
    assert marks_of(user(text("Hi", **MARK)), system=system, tools=tools) == [0, 1, 2]


def test_a_mark_of_the_request_is_at_its_end() -> None:
    assert marks_of(USER, **MARK) == [1]
    assert marks_of(USER, cache_control=None) == []


# ---------------------------------------------------------------- continued answers


def test_an_answer_at_the_end_is_continued_without_the_spaces_behind_it() -> None:
    chat = chat_of(messages=[USER, assistant(text("The best is ( \n"))])
    assert chat["messages"][-1] == {"role": "assistant", "content": "The best is ("}
    assert chat["continue_final_message"] is True


@pytest.mark.parametrize("content", ["", " \n", None, [], [text(" ")]])
def test_an_empty_answer_at_the_end_is_none(content: Any) -> None:
    chat = chat_of(messages=[USER, {"role": "assistant", "content": content}])
    assert chat["messages"] == [USER]
    assert "continue_final_message" not in chat


def test_a_call_without_its_result_cannot_be_continued() -> None:
    assert refusal(messages=[USER, assistant(CALL)]).param == "messages[1]"


# ---------------------------------------------------------------- bad input


IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "x"}}
PDF = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf"}}


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        ([user(text("a"), IMAGE)], "messages[0].content[1]"),
        ([user(PDF)], "messages[0].content[0].source"),
        ([user(result([IMAGE]))], "messages[0].content[0].content[0]"),
        ([user({"type": "txt", "text": "a"})], "messages[0].content[0]"),
        ([user({"text": "a"})], "messages[0].content[0]"),
        ([user({"type": "text"})], "messages[0].content[0].text"),
        ([user({"type": "text", "text": 5})], "messages[0].content[0].text"),
        ([user(CALL)], "messages[0].content[0]"),
        ([USER, assistant(result("x"))], "messages[1].content[0]"),
        ([USER, {"role": "system", "content": [CALL]}], "messages[1].content[0]"),
        ([USER, assistant({**CALL, "input": "x"})], "messages[1].content[0].input"),
        ([USER, assistant({**CALL, "name": None})], "messages[1].content[0].name"),
        ([user({"type": "tool_result"})], "messages[0].content[0].tool_use_id"),
        ([{"role": "user", "content": 5}], "messages[0].content"),
        ([{"role": "robot", "content": "x"}], "messages[0].role"),
        ([{"content": "x"}], "messages[0].role"),
        ([assistant()], "messages"),
        ([], "messages"),
        (None, "messages"),
        ("Hi", "messages"),
    ],
)
def test_a_wrong_message_is_named(messages: Any, param: str) -> None:
    assert refusal(messages=messages).param == param


@pytest.mark.parametrize("block", [IMAGE, PDF])
def test_it_is_told_that_images_and_files_cannot_be_read(block: dict[str, Any]) -> None:
    assert "the model reads text only" in refusal(messages=[user(block)]).message


def test_blocks_are_limited_wherever_they_are() -> None:
    many = [text("a")] * 9000
    nested = {"type": "document", "source": {"type": "content", "content": many}}
    for messages in ([user(*many, *many)], [user(result([nested])), user(*many)]):
        error = refusal(messages=messages)
        assert error.param == "messages"
        assert "16384" in error.message
    assert refusal(system=many * 2).param == "system"
    assert len(messages_of(user(*many))) == 1
