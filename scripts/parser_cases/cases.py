"""Owns what a case says: the request, what the model writes, and what should be made of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Literal

from app.base.json_types import JsonObject
from scripts.parser_cases.cpp_source import Found, cases_of
from scripts.parser_cases.cpp_values import Built, Record, record

_QUESTION: JsonObject = {"role": "user", "content": "Hello"}
_UNSPLIT = "COMMON_REASONING_FORMAT_NONE"
_REQUIRED = "COMMON_CHAT_TOOL_CHOICE_REQUIRED"

Continued = Literal["", "content", "reasoning"]

_CONTINUED: dict[str, Continued] = {
    "COMMON_CHAT_CONTINUATION_CONTENT": "content",
    "COMMON_CHAT_CONTINUATION_REASONING": "reasoning",
}


@dataclass(frozen=True)
class Reading:
    """An answer as a client gets it.

    Attributes:
        calls: name and JSON text of the arguments of each call.
    """

    content: str = ""
    reasoning: str = ""
    calls: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Case:
    """One case.

    Attributes:
        template: name of the template, without the ending.
        line: where it stands in its source.
        text: what the model writes.
        expected: what is made of it; of a continued message, what comes new.
        is_split: whether thoughts are told apart from content.
        continues: the part of the last message that the answer goes on with; empty: none.
        is_partial: the text is cut off.
    """

    template: str
    line: int
    text: str
    expected: Reading
    messages: tuple[JsonObject, ...] = (_QUESTION,)
    tools: tuple[JsonObject, ...] = ()
    json_schema: str = ""
    enable_thinking: bool = True
    is_split: bool = False
    parallel: bool = False
    is_required: bool = False
    continues: Continued = ""
    is_partial: bool = False


def read_cases(source: str) -> tuple[list[Case], Found]:
    """Return the cases of a C++ source, and what was found in it."""
    found = cases_of(source)
    return [_case(built) for built in found.built], found


def _case(built: Built) -> Case:
    given = built.settings
    messages = [_message(record("common_chat_msg", m)) for m in given.get("messages", [])]
    continues = _CONTINUED.get(given.get("continue_final_message", ""), "")
    return Case(
        template=PurePath(built.path).stem,
        line=built.line,
        text=built.text,
        expected=_expected(given, messages[-1] if continues else {}),
        messages=tuple(messages) or (_QUESTION,),
        tools=tuple(_tool(record("common_chat_tool", tool)) for tool in given.get("tools", [])),
        json_schema=given.get("json_schema", ""),
        enable_thinking=given.get("enable_thinking", True),
        is_split=given.get("reasoning_format", _UNSPLIT) != _UNSPLIT,
        parallel=given.get("parallel_tool_calls", False),
        is_required=given.get("tool_choice") == _REQUIRED,
        continues=continues,
        is_partial=given.get("is_partial", False),
    )


def _expected(given: dict[str, Any], begun: JsonObject) -> Reading:
    """Return what is expected, without the beginning of a message that is continued."""
    message = dict(record("common_chat_msg", given.get("expect", ())).fields)
    for setting, name in (
        ("expect_content", "content"),
        ("expect_reasoning", "reasoning_content"),
        ("expect_tool_calls", "tool_calls"),
    ):
        if setting in given:
            message[name] = given[setting]
    calls = [record("common_chat_tool_call", call).fields for call in message["tool_calls"]]
    return Reading(
        content=message["content"].removeprefix(begun.get("content", "")),
        reasoning=message["reasoning_content"].removeprefix(begun.get("reasoning_content", "")),
        calls=tuple((call["name"], call["arguments"]) for call in calls),
    )


def _message(given: Record) -> JsonObject:
    """Return a message as a client sends it."""
    fields = given.fields
    message: JsonObject = {"role": fields["role"], "content": fields["content"]}
    if fields["content_parts"]:
        message["content"] = [{"type": "text", "text": text} for _, text in fields["content_parts"]]
    if fields["reasoning_content"]:
        message["reasoning_content"] = fields["reasoning_content"]
    if fields["tool_name"]:
        message["name"] = fields["tool_name"]
    if fields["tool_call_id"]:
        message["tool_call_id"] = fields["tool_call_id"]
    calls = [record("common_chat_tool_call", call).fields for call in fields["tool_calls"]]
    if calls:
        message["tool_calls"] = [
            {
                "id": call["id"] or f"call{at}",
                "type": "function",
                "function": {"name": call["name"], "arguments": call["arguments"]},
            }
            for at, call in enumerate(calls)
        ]
    return message


def _tool(given: Record) -> JsonObject:
    function = {**given.fields, "parameters": json.loads(given.fields["parameters"])}
    return {"type": "function", "function": function}
