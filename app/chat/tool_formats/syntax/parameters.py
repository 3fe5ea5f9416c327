"""Owns what a tool's JSON schema says about each of its arguments; must not know formats.

Pure. Schemas come from clients, so anything may be missing, of a wrong type, or go round in
circles: such parts count as if they said nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

from app.base.json_types import JsonObject

Kinds = frozenset[str] | None  # JSON schema types; None: not known

_DEFINITIONS = ("$defs", "definitions")
_UNIONS = ("anyOf", "oneOf")
NOTES = ("description", "title", "default", "examples", "deprecated", "$comment")
_PLAIN_OBJECT = {"type", "properties", "required", "additionalProperties", *_DEFINITIONS, *NOTES}
_PLAIN_LIST = {"type", "items", "minItems", "maxItems", *_DEFINITIONS, *NOTES}
_MAX_DEPTH = 8
_MAX_OPTIONS = 256  # unions within unions multiply
_MARKS = {"properties": "object", "items": "array", "pattern": "string"}


@dataclass(frozen=True)
class Parameter:
    """One parameter of a tool.

    Attributes:
        name: its name.
        schema: JSON schema of its values, with the definitions that it refers to.
        is_required: whether a call without it is wrong.
    """

    name: str
    schema: JsonObject
    is_required: bool

    @cached_property
    def options(self) -> list[JsonObject]:
        """Schemas of one type each, of which a value has to fit one; {} for any value."""
        return _options(self.schema, self.schema)


def arguments_schema(schema: Mapping[str, Any]) -> JsonObject:
    """Return the schema of a tool's arguments; one that says nothing of them has none."""
    if schema.keys() & {"$ref", "allOf", *_UNIONS}:
        return dict(schema)
    return {"type": "object", "properties": {}, **schema}


def parameters_of(schema: Mapping[str, Any]) -> list[Parameter]:
    """Return the parameters that the schema of a tool's arguments names, in its order."""
    root, top = schema, _resolved(schema, schema)
    properties = top.get("properties")
    properties = properties if isinstance(properties, Mapping) else {}
    listed = top.get("required")
    required = [n for n in listed if isinstance(n, str)] if isinstance(listed, list) else []
    others: JsonObject = {name: {} for name in required if name not in properties}
    carried = {key: root[key] for key in _DEFINITIONS if key in root}
    found = []
    for name, value in {**properties, **others}.items():
        own = dict(value) if isinstance(value, Mapping) else {}
        refers = carried and '"$ref"' in json.dumps(own)
        if value is not False:
            found.append(Parameter(name, {**own, **carried} if refers else own, name in required))
    return found


def kinds_of(schema: Mapping[str, Any], name: str) -> Kinds:
    """Return the JSON types that a tool's schema allows for the argument `name`."""
    return kinds_in(property_of(schema, name, schema), schema)


def kinds_in(schema: Any, root: Any) -> Kinds:
    """Return the JSON types that `schema` allows, which is part of `root`."""
    if not isinstance(schema, Mapping) or not isinstance(root, Mapping):
        return None
    kinds = [kind_of_option(option) for option in _options(schema, root)]
    return None if None in kinds else frozenset(kind for kind in kinds if kind is not None)


def property_of(schema: Any, name: str, root: Any) -> Any:
    """Return the schema of the property `name` of `schema`, which is part of `root`."""
    return _inner(schema, "properties", root, name)


def names_in(schema: Any, root: Any) -> list[str]:
    """Return the names of the properties of `schema`, which is part of `root`."""
    if not isinstance(schema, Mapping) or not isinstance(root, Mapping):
        return []
    options = _options(schema, root)
    return list(dict.fromkeys(known.name for part in options for known in parameters_of(part)))


def items_of(schema: Any, root: Any) -> Any:
    """Return the schema of the items of `schema`, which is part of `root`."""
    return _inner(schema, "items", root)


def _inner(schema: Any, key: str, root: Any, name: str | None = None) -> Any:
    if not isinstance(schema, Mapping) or not isinstance(root, Mapping):
        return None
    for option in _options(schema, root):
        found = option.get(key)
        if name is not None:
            found = found.get(name) if isinstance(found, Mapping) else None
        if found is not None:
            return found
    return None


def fields_of(option: Mapping[str, Any]) -> list[Parameter] | None:
    """Return the properties of an object; None where its schema says more than them."""
    is_plain = option.keys() <= _PLAIN_OBJECT and not option.get("additionalProperties")
    return parameters_of(option) if "properties" in option and is_plain else None


def items_in(option: Mapping[str, Any]) -> tuple[Parameter, int, int | None] | None:
    """Return an item of a list, the least number of them and the greatest.

    None where the list's schema says more.
    """
    is_list = kind_of_option(option) == "array"
    items = option.get("items", is_list)
    items = {} if items is True and is_list else items
    least, most = option.get("minItems", 0), option.get("maxItems")
    if not (isinstance(items, Mapping) and option.keys() <= _PLAIN_LIST):
        return None
    if not (isinstance(least, int) and (most is None or isinstance(most, int))):
        return None
    carried = {key: option[key] for key in _DEFINITIONS if key in option}
    return Parameter("item", {**items, **carried}, is_required=True), least, most


def names_by_object(
    parameters: Sequence[Parameter], depth: int, around: str
) -> Iterator[tuple[list[str], str]]:
    """Yield the names of the properties of each object, and the name of the object.

    Args:
        parameters: those of the outermost, which is named `around`.
        depth: how deep within it, and within lists.
    """
    yield [known.name for known in parameters], around
    for known in parameters if depth else ():
        for option in known.options:
            fields, items = fields_of(option), items_in(option)
            if fields is not None:
                yield from names_by_object(fields, depth - 1, known.name)
            elif items is not None:
                yield from names_by_object([items[0]], depth - 1, known.name)


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


def _options(schema: Mapping[str, Any], root: Mapping[str, Any]) -> list[JsonObject]:
    """Return the options of a schema; that it takes any value where there are too many."""
    found = list(islice(_each_option(schema, root, _MAX_DEPTH), _MAX_OPTIONS + 1))
    return found if len(found) <= _MAX_OPTIONS else [{}]


def _each_option(
    schema: Mapping[str, Any], root: Mapping[str, Any], depth: int
) -> Iterator[JsonObject]:
    if not depth:
        yield {}
        return
    known = _resolved(schema, root)
    for union in _UNIONS:
        parts = _schemas(known.get(union))
        if parts:
            rest = {key: value for key, value in known.items() if key != union}
            for part in parts:
                yield from _each_option({**rest, **_resolved(part, root)}, root, depth - 1)
            return
    said = [known, *(_resolved(part, root) for part in _schemas(known.get("allOf")))]
    kinds = next((found for found in map(_kinds, said) if found), [None])
    yield from ({**known, "type": kind} if kind else known for kind in kinds)


def _kinds(schema: Mapping[str, Any]) -> list[str]:
    named = schema.get("type")
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if isinstance(named, str):
        return [named]
    if isinstance(named, list):
        return [kind for kind in named if isinstance(kind, str)]
    if isinstance(values, list):
        return list(dict.fromkeys(kind_of_value(value) for value in values))
    return [kind for key, kind in _MARKS.items() if key in schema][:1]


def _resolved(schema: Mapping[str, Any], root: Mapping[str, Any]) -> JsonObject:
    """Return the schema with what it refers to in place of the reference."""
    found = dict(schema)
    for _ in range(_MAX_DEPTH):
        if "$ref" in found:
            inner = _pointed_at(found.pop("$ref"), root)
        elif len(parts := _schemas(found.get("allOf"))) == 1:
            del found["allOf"]
            (inner,) = parts
        else:
            return found
        found = {**inner, **found}
    return {}


def _pointed_at(pointer: object, root: Mapping[str, Any]) -> Mapping[str, Any]:
    if not (isinstance(pointer, str) and pointer.startswith("#/")):
        return {}
    found: Any = root
    for key in pointer.split("/")[1:]:
        key = key.replace("~1", "/").replace("~0", "~")
        found = found.get(key) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _schemas(parts: object) -> list[Mapping[str, Any]]:
    if not isinstance(parts, list):
        return []
    return [part if isinstance(part, Mapping) else {} for part in parts]
