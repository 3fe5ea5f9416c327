"""Owns the tool fields that OpenAI makes optional, and filling in those that a template needs.

Pure; must not know templates. The client's objects are never changed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from app.base.json_types import JsonObject
from app.chat.template import tool_schemas as schemas
from app.chat.template.tool_schemas import Change
from app.errors import TemplateRefused, TemplateTooSlow

Write = Callable[[list[JsonObject] | None], str]

_NO_PARAMETERS: JsonObject = {"type": "object", "properties": {}}


@dataclass(frozen=True)
class Gap:
    """Something that tools may lack, or write in a way that not every template takes.

    Attributes:
        name: what it is.
        fill: changes a function; what has the field, or takes no other form, stays as it is.
        tools: tools with this gap and no other, each for itself.
    """

    name: str
    fill: Change
    tools: tuple[JsonObject, ...]


def without_nulls(tools: Sequence[JsonObject]) -> list[JsonObject]:
    """Return tools where what is null is left out, and each says that it is a function.

    A property whose schema is null takes any value. Values that may be null, as `default`, stay.
    """
    return [_with_function({"type": "function", **_given(tool)}, _cleaned) for tool in tools]


def filled(tools: list[JsonObject], gaps: Collection[str]) -> list[JsonObject]:
    """Return the tools with these gaps filled, by their names."""
    for gap in GAPS if gaps else ():
        if gap.name in gaps:
            tools = [_with_function(tool, gap.fill) for tool in tools]
    return tools


def written_with(
    write: Write, tools: list[JsonObject] | None, gaps: Collection[str] = frozenset()
) -> str:
    """Return the prompt with these tools, or with the least of them that a model has to know.

    Args:
        write: writes it with tools.
        tools: as the client gave them.
        gaps: those that the template refuses, `TemplateTraits.refused_gaps`.

    Raises:
        TemplateRefused: it is not for the tools that the template refuses.
    """
    if tools:
        tools = filled(without_nulls(tools), gaps)
    try:
        return write(tools)
    except TemplateTooSlow:
        raise
    except TemplateRefused as error:
        if not tools:
            raise
        try:
            return write([_with_function(tool, _plain) for tool in tools])
        except TemplateRefused:
            raise error from None


def _with_function(tool: JsonObject, change: Change) -> JsonObject:
    function = tool.get("function")
    return {**tool, "function": change(function)} if isinstance(function, dict) else tool


def _given(fields: JsonObject) -> JsonObject:
    return {key: value for key, value in fields.items() if value is not None}


# ---------------------------------------------------------------- functions


def _cleaned(function: JsonObject) -> JsonObject:
    result = _given(function)
    if isinstance(result.get("parameters"), dict):
        result["parameters"] = schemas.mapped(result["parameters"], schemas.without_nulls)
    return result


def _plain(function: JsonObject) -> JsonObject:
    parameters = function.get("parameters")
    known = parameters if isinstance(parameters, dict) else {}
    return {
        "name": function.get("name", ""),
        "description": function.get("description") or "",
        "parameters": {"type": "object", **schemas.plain_properties(known)},
    }


def _with_description(fields: JsonObject) -> JsonObject:
    return {**fields, "description": fields.get("description", "")}


def _with_parameters(function: JsonObject) -> JsonObject:
    return function if "parameters" in function else {**function, "parameters": _NO_PARAMETERS}


def _in_parameters(key: str, value: Any) -> Change:
    def fill(function: JsonObject) -> JsonObject:
        parameters = function.get("parameters")
        if not isinstance(parameters, dict) or key in parameters:
            return function
        return {**function, "parameters": {**parameters, key: value}}

    return fill


def _in_each(change: Change) -> Change:
    """Return what changes the schema of each parameter, and all schemas in it."""

    def fill(function: JsonObject) -> JsonObject:
        parameters = function.get("parameters")
        if not isinstance(parameters, dict) or not isinstance(parameters.get("properties"), dict):
            return function
        properties = parameters["properties"].items()
        changed = {name: schemas.mapped(schema, change) for name, schema in properties}
        return {**function, "parameters": {**parameters, "properties": changed}}

    return fill


def _parameters_as_objects(function: JsonObject) -> JsonObject:
    parameters = function.get("parameters")
    if isinstance(parameters, dict):
        return {**function, "parameters": schemas.with_objects(parameters)}
    return function


# ---------------------------------------------------------------- the gaps


def _tool(**fields: Any) -> JsonObject:
    return {"type": "function", "function": {"name": "probe", **fields}}


def _taking(*schemas: Any) -> tuple[JsonObject, ...]:
    """Return a tool for each schema of its only parameter."""
    return tuple(
        _tool(
            description="Probe",
            parameters={"type": "object", "properties": {"key": schema}, "required": ["key"]},
        )
        for schema in schemas
    )


def _with_schema(parameters: JsonObject) -> JsonObject:
    return _tool(description="Probe", parameters=parameters)


_TEXT: JsonObject = {"type": "string", "description": "Key"}
_BARE: JsonObject = {"type": "string"}
_OBJECT: JsonObject = {
    "type": "object",
    "description": "Key",
    "properties": {"key": _TEXT},
    "required": ["key"],
    "additionalProperties": _TEXT,
}
_LIST: JsonObject = {"type": "array", "description": "Key", "items": _TEXT}


def _lacking(schema: JsonObject, key: str) -> JsonObject:
    return {name: value for name, value in schema.items() if name != key}


GAPS: tuple[Gap, ...] = (
    Gap(
        "description",
        _with_description,
        (_tool(parameters={"type": "object", "properties": {"key": _TEXT}, "required": []}),),
    ),
    Gap("parameters", _with_parameters, (_tool(description="Probe"),)),
    Gap(
        "properties",
        _in_parameters("properties", {}),
        (_with_schema({}), _with_schema({"type": "object", "required": []})),
    ),
    Gap(
        "required",
        _in_parameters("required", []),
        (_with_schema({"type": "object", "properties": {"key": _TEXT}}),),
    ),
    Gap(
        "schemas that are objects",
        lambda function: _in_each(schemas.with_objects)(_parameters_as_objects(function)),
        _taking(True, {**_LIST, "items": True}, {**_OBJECT, "properties": {"key": True}}),
    ),
    Gap(
        "one option",
        _in_each(schemas.uncombined),
        _taking(
            {"description": "Key", "anyOf": [_TEXT, _OBJECT]},
            {"description": "Key", "oneOf": [_TEXT, _OBJECT]},
            {"description": "Key", "allOf": [_TEXT]},
            {"description": "Key", "$ref": "#/$defs/key"},
        ),
    ),
    Gap(
        "no null",
        _in_each(schemas.without_null_type),
        _taking(
            {**_TEXT, "type": "null"},
            {**_TEXT, "type": ["null"]},
            {**_TEXT, "type": ["string", "null"]},
        ),
    ),
    Gap(
        "one type",
        _in_each(schemas.with_one_type),
        _taking({**_TEXT, "type": ["string", "integer"]}),
    ),
    Gap(
        "a type",
        _in_each(schemas.with_type),
        _taking(
            {"description": "Key"},
            {"description": "Key", "enum": ["a"]},
            {**_LIST, "items": {"description": "Key"}},
        ),
    ),
    Gap(
        "items",
        _in_each(schemas.with_field("array", "items", {})),
        _taking(_lacking(_LIST, "items")),
    ),
    Gap(
        "properties of objects",
        _in_each(schemas.with_field("object", "properties", {})),
        _taking(_lacking(_lacking(_OBJECT, "properties"), "required")),
    ),
    Gap(
        "other properties of objects",
        _in_each(schemas.with_field("object", "additionalProperties", {})),
        _taking(_lacking(_OBJECT, "additionalProperties")),
    ),
    Gap(
        "descriptions of parameters",
        _in_each(_with_description),
        _taking(_BARE, {**_LIST, "items": _BARE}, {**_OBJECT, "properties": {"key": _BARE}}),
    ),
    Gap(
        "defaults that are text",
        _in_each(schemas.with_text_default),
        _taking(
            {**_TEXT, "enum": ["a"], "default": None},
            {"description": "Key", "oneOf": [_TEXT], "default": 1},
        ),
    ),
    Gap(
        "descriptions that are text",
        _in_each(schemas.with_text),
        _taking({**_TEXT, "description": 1}, {**_TEXT, "description": ["Key"]}),
    ),
)
"""What is filled first comes first."""
