"""Owns which tools an answer may call, and what is left of schemas that cannot be enforced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from app.base.json_types import JsonObject
from app.chat.template.tools import without_nulls
from app.chat.tool_formats.base import ToolSpec
from app.protocol import Generate

Tools = Mapping[int, ToolSpec]
"""Tools by their place in the request."""

_NO_PARAMETERS: JsonObject = {"type": "object", "properties": {}}


def loosened(tool: ToolSpec) -> ToolSpec:
    """Return a tool whose schema tells no more than the names of its arguments."""
    named, required = tool.parameters.get("properties"), tool.parameters.get("required")
    names = list(named) if isinstance(named, Mapping) else []
    loose: JsonObject = {"type": "object"}
    if names:
        loose["properties"] = {name: {} for name in names}
        needed = required if isinstance(required, list) else []
        loose["required"] = [name for name in needed if isinstance(name, str) and name in names]
    return replace(tool, parameters=loose)


def callable_tools(command: Generate, offered: Sequence[JsonObject]) -> Tools:
    """Return the offered tools that may be called, by their place among all."""
    allowed = command.tool_choice.names
    functions = [tool.get("function") or {} for tool in without_nulls(offered)]
    return {
        index: ToolSpec(
            name=str(function.get("name", "")),
            parameters=function.get("parameters") or _NO_PARAMETERS,
            is_strict=bool(function.get("strict")),
        )
        for index, function in enumerate(functions)
        if not allowed or function.get("name") in allowed
    }
