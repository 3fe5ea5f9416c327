"""Owns closing JSON schemas: objects get no properties that the schema does not name."""

from __future__ import annotations

from typing import Any, cast

from app.base.json_types import JsonObject
from app.chat.grammar.alternatives import exclude_each_other

_DEFINITIONS = ("$defs", "definitions")
_COMBINED = ("anyOf", "oneOf", "not", "if", "then", "else", "$ref", "dependentSchemas")
_OPEN = ("additionalProperties", "unevaluatedProperties", "patternProperties", "propertyNames")
_SCHEMAS = ("items", "additionalItems", "contains")
_SCHEMA_MAPS = ("properties", "patternProperties", *_DEFINITIONS)
_SCHEMA_LISTS = ("prefixItems",)
_UNIONS = ("anyOf", "oneOf")
_NOTES = ("description", "title", "default", "examples", "deprecated", "$comment")
_MAX_DEPTH = 64


def closed(schema: JsonObject, *, is_strict: bool = False) -> JsonObject:
    """Return a schema that allows no properties but those it names.

    JSON Schema allows any others unless told not to, and a small model would make some up. What
    the result allows, `schema` allows too. Left as they are: objects that say something about
    other properties, that are combined with further schemas, or that require what they do not
    name; and all of a schema that builds objects from several, of which each allows the others'.

    Args:
        schema: a client's.
        is_strict: `oneOf` is enforced, so that its options stay as they are where closing them
            would hide that a value fits two.
    """
    if _builds_from_parts(schema, _MAX_DEPTH):
        return schema
    return cast("JsonObject", _closed(schema, _MAX_DEPTH, schema, is_strict))


def _builds_from_parts(schema: Any, depth: int) -> bool:
    if isinstance(schema, list):
        return any(_builds_from_parts(part, depth) for part in schema)
    if not isinstance(schema, dict):
        return False
    if not depth or "allOf" in schema:
        return True
    if "$ref" in schema and schema.keys() - {"$ref", *_NOTES, *_DEFINITIONS}:
        return True
    return any(_builds_from_parts(part, depth - 1) for part in schema.values())


def _closed(schema: Any, depth: int, root: JsonObject, is_strict: bool) -> Any:
    if not isinstance(schema, dict) or not depth:
        return schema
    result = dict(schema)
    for key in _SCHEMAS:
        if key in result:
            result[key] = _closed(result[key], depth - 1, root, is_strict)
    for key in _SCHEMA_MAPS:
        if isinstance(result.get(key), dict):
            named = result[key].items()
            result[key] = {
                name: _closed(value, depth - 1, root, is_strict) for name, value in named
            }
    for key in _SCHEMA_LISTS:
        if isinstance(result.get(key), list):
            result[key] = [_closed(value, depth - 1, root, is_strict) for value in result[key]]
    for key in _UNIONS:
        if isinstance(result.get(key), list) and "properties" not in result:
            if key == "oneOf" and is_strict and not exclude_each_other(result[key], root):
                continue  # closed options could exclude each other where these do not
            result[key] = [_closed(value, depth - 1, root, is_strict) for value in result[key]]
    if _is_plain_object(result):
        result["additionalProperties"] = False
    return result


def _is_plain_object(schema: JsonObject) -> bool:
    properties, required = schema.get("properties"), schema.get("required", [])
    return (
        isinstance(properties, dict)
        and isinstance(required, list)
        and all(name in properties for name in required if isinstance(name, str))
        and not any(key in schema for key in (*_COMBINED, *_OPEN))
        and _has_enough(schema.get("minProperties", 0), properties)
    )


def _has_enough(least: Any, properties: JsonObject) -> bool:
    n_named = sum(value is not False for value in properties.values())
    return not isinstance(least, int) or least <= n_named
