"""Owns the forms of a parameter's JSON schema that chat templates take; must not know tools.

Pure. Each function returns a schema, and changes none. Schemas come from clients: any part may be
missing or of a wrong type, and is left as it is then.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from app.base.json_types import JsonObject

Change = Callable[[JsonObject], JsonObject]

_SCHEMAS = (
    *("items", "additionalItems", "additionalProperties", "unevaluatedItems", "contains"),
    *("unevaluatedProperties", "propertyNames", "not", "if", "then", "else"),
)
_SCHEMA_LISTS = ("prefixItems", "anyOf", "oneOf", "allOf")
_SCHEMA_MAPS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_COMBINED = ("anyOf", "oneOf", "allOf")
_VALUES = ("default", "const", "example", "examples")  # null means null there
_TYPES = (
    *((bool, "boolean"), (int, "integer"), (float, "number")),
    *((str, "string"), (list, "array"), (dict, "object")),
)
_KINDS = tuple(name for _, name in _TYPES)
_MAX_DEPTH = 64


def mapped(schema: Any, change: Change, depth: int = _MAX_DEPTH) -> Any:
    """Return `schema` changed, after all schemas in it."""
    if not isinstance(schema, dict) or not depth:
        return schema
    result = dict(schema)
    for key, value in schema.items():
        if key in _SCHEMAS:
            result[key] = mapped(value, change, depth - 1)
        elif key in _SCHEMA_LISTS and isinstance(value, list):
            result[key] = [mapped(part, change, depth - 1) for part in value]
        elif key in _SCHEMA_MAPS and isinstance(value, dict):
            named = value.items()
            result[key] = {name: mapped(part, change, depth - 1) for name, part in named}
    return change(result)


def without_nulls(schema: JsonObject) -> JsonObject:
    """Return `schema` without what is null and no value; a null schema allows any value."""
    result = {key: value for key, value in schema.items() if value is not None or key in _VALUES}
    for key in _SCHEMA_MAPS:
        if isinstance(result.get(key), dict):
            named = result[key].items()
            result[key] = {name: {} if inner is None else inner for name, inner in named}
    return result


def with_objects(schema: JsonObject) -> JsonObject:
    """Return `schema` with objects for the schemas `true` and `false` of values in it."""
    result = dict(schema)
    if isinstance(result.get("properties"), dict):
        named = result["properties"].items()
        result["properties"] = {
            name: {} if isinstance(inner, bool) else inner for name, inner in named
        }
    if isinstance(result.get("items"), bool):
        result["items"] = {}
    return result


def with_text(schema: JsonObject) -> JsonObject:
    """Return `schema` with a description that is text, if it has one."""
    said = schema.get("description", "")
    return schema if isinstance(said, str) else {**schema, "description": str(said)}


def without_null_type(schema: JsonObject) -> JsonObject:
    """Return `schema` without null among its types, and without types if there is no other."""
    kinds = schema.get("type")
    if isinstance(kinds, list):
        others = [kind for kind in kinds if kind != "null"]
        kinds = others[0] if len(others) == 1 else others
    if kinds and kinds != "null":
        return {**schema, "type": kinds}
    return {key: value for key, value in schema.items() if key != "type"}


def with_one_type(schema: JsonObject) -> JsonObject:
    """Return `schema` with the first of its types."""
    kinds = schema.get("type")
    if not isinstance(kinds, list):
        return schema
    known = [kind for kind in kinds if kind != "null"] or ["string"]
    return {**schema, "type": known[0]}


def uncombined(schema: JsonObject) -> JsonObject:
    """Return `schema` with the first of its options, where it has some, instead of all."""
    options = [
        option
        for key in _COMBINED
        for option in _listed(schema.get(key))
        if isinstance(option, dict) and option.get("type", "null") != "null"
    ]
    own = {key: value for key, value in schema.items() if key not in (*_COMBINED, "$ref")}
    return {**options[0], **own} if options else own


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def with_type(schema: JsonObject) -> JsonObject:
    """Return `schema` with the type that its other keywords tell."""
    return schema if "type" in schema else {**schema, "type": _kind_of(schema)}


def _kind_of(schema: JsonObject) -> str:
    """Return the type that the rest of a schema tells; what is not known is text."""
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    for value in _listed(values):
        for kind, name in _TYPES:
            if isinstance(value, kind):
                return name
    marks = (("properties", "object"), ("items", "array"), ("prefixItems", "array"))
    return next((name for key, name in marks if key in schema), "string")


def with_text_default(schema: JsonObject) -> JsonObject:
    """Return `schema` with a default that is text, where that is one of several choices."""
    default = schema.get("default", "")
    if isinstance(default, str) or not schema.keys() & {"enum", "oneOf"}:
        return schema
    return {**schema, "default": json.dumps(default, ensure_ascii=False)}


def with_field(kind: str, key: str, value: Any) -> Change:
    """Return what fills in the field `key` of schemas of a type."""

    def fill(schema: JsonObject) -> JsonObject:
        lacks = schema.get("type") == kind and key not in schema
        return {**schema, key: value} if lacks else schema

    return fill


def plain(schema: Any, depth: int = _MAX_DEPTH) -> JsonObject:
    """Return what every template can show of a schema: type, description, choices and parts."""
    known = schema if isinstance(schema, dict) else {}
    known = with_type(with_one_type(uncombined(known)))
    kind = known["type"] if known["type"] in _KINDS else "string"
    said = known.get("description")
    result: JsonObject = {"type": kind, "description": said if isinstance(said, str) else ""}
    choices = [choice for choice in _listed(known.get("enum")) if isinstance(choice, str)]
    if kind == "string" and choices:
        result["enum"] = choices
    if kind == "array":
        items = known.get("items")
        result["items"] = plain(items, depth - 1) if depth else {"type": "string"}
    if kind == "object":
        result.update(plain_properties(known, depth - 1), additionalProperties={})
    return result


def plain_properties(schema: JsonObject, depth: int = _MAX_DEPTH) -> JsonObject:
    """Return the properties that a schema has, and which of them are required, in this form."""
    found, listed = schema.get("properties"), schema.get("required")
    properties = found if isinstance(found, dict) and depth > 0 else {}
    required = [name for name in _listed(listed) if isinstance(name, str)]
    return {
        "properties": {name: plain(inner, depth) for name, inner in properties.items()},
        "required": [name for name in required if name in properties],
    }
