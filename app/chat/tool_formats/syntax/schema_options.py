"""Owns taking a JSON schema apart into schemas of one type each; must not know formats.

Pure. What cannot be put into one schema stays in its `allOf`: then a value has to fit that too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from app.base.json_types import JsonObject
from app.chat.grammar.alternatives import pointed_at
from app.chat.grammar.keywords import DEFINITIONS

NOTES = ("description", "title", "default", "examples", "deprecated", "$comment")
_UNIONS = ("anyOf", "oneOf")
_MAX_DEPTH = 8
_MAX_OPTIONS = 256  # unions within unions multiply
_ARGUMENTS = "_arguments_"  # the definition that stands for the schema of all arguments
# The type that a schema is taken to be for, where it names none.
_MARKS = {
    "object": ("properties", "patternProperties", "additionalProperties", "required"),
    "array": ("items", "prefixItems", "minItems", "maxItems"),
    "string": ("pattern", "minLength", "maxLength", "format"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
}
# Keywords that mean something only together.
_GROUPS = (
    {"properties", "patternProperties", "additionalProperties", "unevaluatedProperties"},
    {"items", "prefixItems", "additionalItems", "unevaluatedItems"},
    {"minimum", "exclusiveMinimum"},
    {"maximum", "exclusiveMaximum"},
    {"if", "then", "else"},
    {"contains", "minContains", "maxContains"},
)


def options_of(schema: Mapping[str, Any], root: Mapping[str, Any]) -> list[JsonObject]:
    """Return the options of a schema; that it takes any value where there are too many."""
    found = list(islice(_each_option(schema, root, _MAX_DEPTH), _MAX_OPTIONS + 1))
    return found if len(found) <= _MAX_OPTIONS else [{}]


def parts_of(schema: Any, root: Mapping[str, Any], depth: int = _MAX_DEPTH) -> list[JsonObject]:
    """Return the schemas that all apply where this one does, without `$ref` and `allOf`."""
    if not isinstance(schema, Mapping) or not depth:
        return []
    own = {key: value for key, value in schema.items() if key not in ("$ref", "allOf")}
    inner = [pointed_at(_pointer(schema["$ref"], root), root)] if "$ref" in schema else []
    inner += _schemas(schema.get("allOf"))
    return [own, *(part for one in inner for part in parts_of(one, root, depth - 1))]


def rerooted(schema: JsonObject, root: Mapping[str, Any]) -> JsonObject:
    """Return a schema that is part of `root` as one of its own, whose references lead somewhere."""
    if '"$ref"' not in json.dumps(schema):
        return schema
    carried = {key: root[key] for key in DEFINITIONS if isinstance(root.get(key), Mapping)}
    written: JsonObject = _pointing({**schema, **carried}, root)
    if f'"#/$defs/{_ARGUMENTS}' in json.dumps(written):
        outer = {key: value for key, value in root.items() if key not in DEFINITIONS}
        defs = written.get("$defs")
        known = defs if isinstance(defs, Mapping) else {}
        written["$defs"] = {**known, _ARGUMENTS: _pointing(outer, root)}
    return written


def combined(schemas: Iterable[Any]) -> Any:
    """Return one schema for values that fit all of these."""
    said = [one for one in schemas if one is not True and one != {}]
    if False in said:
        return False
    first, *others = said or [{}]
    return {"allOf": [first, *others]} if others else first


def kind_of_option(option: Mapping[str, Any]) -> str | None:
    """Return the type that one of a parameter's `options` is for; None: any."""
    kind = option.get("type")
    return kind if isinstance(kind, str) else None


def kind_of_value(value: object) -> str:
    """Return the JSON schema type of a JSON value."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "integer" if value == value // 1 else "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"


def _each_option(
    schema: Mapping[str, Any], root: Mapping[str, Any], depth: int
) -> Iterator[JsonObject]:
    if not depth:
        yield {}
        return
    known = _merged(parts_of(schema, root))
    for union in _UNIONS:
        listed = known.get(union)
        if isinstance(listed, list) and listed:
            rest = {key: value for key, value in known.items() if key != union}
            for part in listed:
                if part is not False:
                    parts = [*parts_of(part, root), *parts_of(rest, root)]
                    yield from _each_option(_merged(parts), root, depth - 1)
            return
    kinds = _common(_kinds(part) for part in (known, *_schemas(known.get("allOf"))))
    if kinds is None:
        kinds = [kind for kind, marks in _MARKS.items() if known.keys() & {*marks}][:1] or None
    yield from ([known] if kinds is None else ({**known, "type": kind} for kind in kinds))


def _merged(parts: Iterable[JsonObject]) -> JsonObject:
    """Return one schema that says what all parts say; notes are those of the first."""
    merged: JsonObject = {}
    others: list[JsonObject] = []
    for part in parts:
        if _agree(merged, part):
            merged = {**part, **merged}
        elif part not in others:
            others.append({key: value for key, value in part.items() if key not in NOTES})
    return {**merged, "allOf": others} if others else merged


def _agree(one: JsonObject, other: JsonObject) -> bool:
    both = (one.keys() & other.keys()) - {*NOTES, *DEFINITIONS}
    return all(one[key] == other[key] for key in both) and not any(
        one.keys() & group and other.keys() & group and not _same(one, other, group)
        for group in _GROUPS
    )


def _same(one: JsonObject, other: JsonObject, keys: set[str]) -> bool:
    return all(one.get(key) == other.get(key) for key in keys)


def _kinds(schema: Any) -> list[str] | None:
    """Return the types that a schema names; None where it names none."""
    if not isinstance(schema, Mapping):
        return [] if schema is False else None
    named = schema.get("type")
    named = [named] if isinstance(named, str) else named
    kinds = [kind for kind in named if isinstance(kind, str)] if isinstance(named, list) else None
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    of_values = list(dict.fromkeys(map(kind_of_value, values))) if isinstance(values, list) else []
    return _common([kinds or None, of_values or None])


def _common(found: Iterable[list[str] | None]) -> list[str] | None:
    """Return the types that are in all lists; None where there is none of these."""
    common: list[str] | None = None
    for kinds in found:
        if kinds is not None:
            common = kinds if common is None else list(_in_both(common, kinds))
    return common


def _in_both(some: list[str], others: list[str]) -> Iterator[str]:
    for kind in some:
        if kind in others or (kind == "integer" and "number" in others):
            yield kind
        elif kind == "number" and "integer" in others:
            yield "integer"


def _pointer(reference: Any, root: Any) -> Any:
    """Return a reference as a JSON pointer, where it is the name of an anchor."""
    is_name = (
        isinstance(reference, str) and reference[:1] == "#" and reference[1:2] not in ("", "/")
    )
    found = next(_anchored(root, reference[1:], "#", _MAX_DEPTH), None) if is_name else None
    return found or reference


def _anchored(part: Any, name: str, pointer: str, depth: int) -> Iterator[str]:
    if isinstance(part, Mapping) and depth:
        if name in (part.get("$anchor"), part.get("$dynamicAnchor")):
            yield pointer
        for key, value in part.items():
            yield from _anchored(value, name, f"{pointer}/{_escaped(key)}", depth - 1)


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


def _pointing(part: Any, root: Any) -> Any:
    """Return part of a schema with references as `rerooted` has them."""
    if isinstance(part, list):
        return [_pointing(item, root) for item in part]
    if not isinstance(part, Mapping):
        return part
    written = {key: _pointing(value, root) for key, value in part.items()}
    reference = _pointer(written.get("$ref"), root)
    if isinstance(reference, str) and reference[:1] == "#":
        is_carried = any(reference.startswith(f"#/{key}/") for key in DEFINITIONS)
        written["$ref"] = reference if is_carried else f"#/$defs/{_ARGUMENTS}{reference[1:]}"
    return written


def _schemas(parts: Any) -> list[Any]:
    return parts if isinstance(parts, list) else []
