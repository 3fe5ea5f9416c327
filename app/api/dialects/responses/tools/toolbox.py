"""Owns how a request's tools are offered to the model as functions, and found again by name.

A custom tool becomes a function with one text argument; the functions of a namespace get names
with its name in front; types that run on OpenAI's servers are left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from app.api.dialects.responses.tools.custom_grammar import grammar_of
from app.base.json_types import JsonObject
from app.errors import InvalidRequest

CUSTOM_ARGUMENT = "input"
_SEPARATOR = "__"
_UNNAMABLE = re.compile(r"[^A-Za-z0-9_.-]")  # in a function's name
_FUNCTION_FIELDS = ("name", "description", "parameters", "strict")

Kind = Literal["function", "custom"]


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool as the client knows it.

    Args:
        kind: its type.
        name: its name.
        namespace: that of the namespace that it is in; empty for none.
        offered_as: the name that the model knows it by.
        place: where it stands in the request, such as `tools[1].tools[0]`.
    """

    kind: Kind
    name: str
    namespace: str
    offered_as: str
    place: str


def name_for_model(name: str, namespace: str) -> str:
    """Return the name by which the model knows a tool, where no other tool has that."""
    return f"{_UNNAMABLE.sub('_', namespace)}{_SEPARATOR}{name}" if namespace else name


class Toolbox:
    """The tools of one request.

    Args:
        definitions: `tools`, as the client sent them.

    Raises:
        InvalidRequest: a definition has no type, or a namespace no list of tools.
    """

    def __init__(self, definitions: Sequence[JsonObject]) -> None:
        self.functions: list[JsonObject] = []
        self.tools: list[Tool] = []
        self._taken = {str(each.get("name")) for each in definitions if "name" in each}
        for index, definition in enumerate(definitions):
            self._add(definition, f"tools[{index}]", "")
        self._by_model_name = {tool.offered_as: tool for tool in self.tools}

    def by_model_name(self, name: str) -> Tool:
        """Return the tool that the model calls; an unknown name is a function's."""
        return self._by_model_name.get(name) or Tool("function", name, "", name, "tools")

    def model_name(self, name: str, namespace: str) -> str:
        """Return the name by which the model knows a tool, also one that is not offered."""
        for tool in self.tools:
            if (tool.name, tool.namespace) == (name, namespace):
                return tool.offered_as
        if not namespace:
            inside = [tool.offered_as for tool in self.tools if tool.name == name]
            return inside[0] if len(inside) == 1 else name
        return name_for_model(name, namespace)

    def _add(self, definition: JsonObject, place: str, namespace: str) -> None:
        kind = definition.get("type")
        if not isinstance(kind, str):
            raise InvalidRequest(f"{place}.type: must be a text", param=f"{place}.type")
        if kind == "namespace" and not namespace:
            self._add_namespace(definition, place)
        elif kind == "function":
            fields = {key: definition.get(key) for key in _FUNCTION_FIELDS}
            given = {key: value for key, value in fields.items() if value not in (None, False)}
            self._offer("function", given, place, namespace)
        elif kind == "custom":
            self._offer("custom", _as_function(definition, place), place, namespace)

    def _add_namespace(self, definition: JsonObject, place: str) -> None:
        name, inner = definition.get("name"), definition.get("tools")
        if not isinstance(name, str) or not name:
            raise InvalidRequest(f"{place}.name: must be a text", param=f"{place}.name")
        if not isinstance(inner, list) or not all(isinstance(each, dict) for each in inner):
            raise InvalidRequest(f"{place}.tools: must be a list of tools", param=f"{place}.tools")
        for index, each in enumerate(inner):
            self._add(each, f"{place}.tools[{index}]", name)

    def _offer(self, kind: Kind, function: JsonObject, place: str, namespace: str) -> None:
        name = function.get("name")
        if isinstance(name, str):
            offered_as = self._free_name(name, namespace)
            function = {**function, "name": offered_as}
            self.tools.append(Tool(kind, name, namespace, offered_as, place))
        else:
            self.tools.append(Tool(kind, "", namespace, "", place))
        self.functions.append({"type": "function", "function": function})

    def _free_name(self, name: str, namespace: str) -> str:
        if not namespace:
            return name  # two tools of one name are refused, as in every dialect
        wanted = free = name_for_model(name, namespace)
        number = 2
        while free in self._taken:
            free, number = f"{wanted}_{number}", number + 1
        self._taken.add(free)
        return free


def _as_function(definition: JsonObject, place: str) -> JsonObject:
    """Return a custom tool as a function with one text argument."""
    grammar = grammar_of(definition.get("format"), f"{place}.format")
    given = definition.get("description")
    description = [given] if isinstance(given, str) and given else []
    argument: JsonObject = {"type": "string"}
    if grammar is not None and grammar.pattern:
        argument["pattern"] = grammar.pattern
    if grammar is not None:
        description.append(f"The input must match this {grammar.syntax}:\n{grammar.definition}")
    function: JsonObject = {
        "parameters": {
            "type": "object",
            "properties": {CUSTOM_ARGUMENT: argument},
            "required": [CUSTOM_ARGUMENT],
            "additionalProperties": False,
        }
    }
    if "name" in definition:
        function["name"] = definition["name"]
    if description:
        function["description"] = "\n\n".join(description)
    return function


def custom_arguments(text: str) -> str:
    """Return the arguments of a custom tool's call, as the model wrote them."""
    return json.dumps({CUSTOM_ARGUMENT: text}, ensure_ascii=False)


def choice_for_chat(choice: str | JsonObject | None, toolbox: Toolbox) -> Any:
    """Return `tool_choice` as the chat dialect has it.

    Raises:
        InvalidRequest: it names a tool of a type that this server does not run.
    """
    if choice is None or isinstance(choice, str):
        return choice
    if choice.get("type") == "allowed_tools":
        inner = choice.get("allowed_tools")
        return _allowed(inner if isinstance(inner, dict) else choice, toolbox)
    name = _named(choice, toolbox)
    if name is None:
        reason = f"this server does not run tools of the type {choice.get('type')!r}"
        raise InvalidRequest(f"tool_choice: {reason}", param="tool_choice")
    return {"type": "function", "function": {"name": name}}


def _allowed(choice: Mapping[str, Any], toolbox: Toolbox) -> JsonObject:
    listed = choice.get("tools")
    tools = listed if isinstance(listed, list) else []
    names = [_named(each, toolbox) for each in tools if isinstance(each, dict)]
    known = [{"type": "function", "name": name} for name in names if name is not None]
    if not known:
        param = "tool_choice.tools"
        raise InvalidRequest(f"{param}: must list functions or custom tools", param=param)
    return {"type": "allowed_tools", "mode": choice.get("mode", "auto"), "tools": known}


def _named(choice: Mapping[str, Any], toolbox: Toolbox) -> str | None:
    kind = choice.get("type")
    if kind not in ("function", "custom"):
        return None
    inner = choice.get(kind)
    given = inner if isinstance(inner, dict) and "name" not in choice else choice
    name, namespace = given.get("name"), given.get("namespace")
    return toolbox.model_name(str(name or ""), namespace if isinstance(namespace, str) else "")
