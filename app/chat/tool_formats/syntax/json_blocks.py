"""Owns the grammar of calls that are, or have, a JSON object; must not know what is around it."""

from __future__ import annotations

import json
from collections.abc import Sequence

from app.chat.grammar.lark import Grammar, sequence
from app.chat.tool_formats.base import ToolSpec
from app.chat.tool_formats.syntax.parameters import arguments_schema


def call_object(
    grammar: Grammar,
    tool: ToolSpec,
    *,
    name_key: str = "name",
    arguments_key: str = "arguments",
    opening: str = "{",
    closing: str = "",
) -> str:
    """Return the expression for one call of `tool` as such an object.

    Args:
        grammar: gets the rules.
        tool: the tool.
        name_key: key of its name.
        arguments_key: key of its arguments.
        opening: text before the first key.
        closing: expression of what comes after the arguments; by default the brace.
    """
    name = json.dumps(tool.name, ensure_ascii=False)
    header = grammar.literal(f'{opening}"{name_key}": {name}, "{arguments_key}": ')
    return sequence(header, _arguments(grammar, tool), closing or grammar.literal("}"))


def headed_call(grammar: Grammar, tool: ToolSpec, before: str, after: str = "") -> str:
    """Return the expression for the arguments of `tool` between two texts."""
    arguments = _arguments(grammar, tool)
    return sequence(grammar.literal(before), arguments, grammar.literal(after) if after else "")


def call_list(grammar: Grammar, calls: Sequence[str], one: bool, *, separator: str = ", ") -> str:
    """Return the expression for calls with `separator` between them.

    Args:
        grammar: gets the rules.
        calls: the expressions for one call of each tool.
        one: only one call.
        separator: text between two.
    """
    call = grammar.either(calls)
    if one:
        return call
    call = grammar.rule(call)
    return f"{call} ({grammar.literal(separator)} {call})*"


def _arguments(grammar: Grammar, tool: ToolSpec) -> str:
    return grammar.schema(arguments_schema(tool.parameters), is_strict=tool.is_strict)
