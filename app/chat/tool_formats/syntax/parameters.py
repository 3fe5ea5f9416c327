"""Owns what a tool's JSON schema says about each of its arguments; must not know formats.

Pure. Schemas come from clients, so anything may be missing, of a wrong type, or go round in
circles: such parts count as if they said nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from app.base.json_types import JsonObject
from app.chat.grammar.keywords import DEFINITIONS
from app.chat.tool_formats.syntax.schema_options import (
    NOTES,
    combined,
    kind_of_option,
    kind_of_value,
    options_of,
    parts_of,
    rerooted,
)

__all__ = [
    "NOTES",
    "Kinds",
    "Parameter",
    "arguments_schema",
    "fields_of",
    "items_in",
    "items_of",
    "kind_of_option",
    "kind_of_value",
    "kinds_in",
    "kinds_of",
    "names_by_object",
    "names_in",
    "parameters_of",
    "property_of",
]

Kinds = frozenset[str] | None  # JSON schema types; None: not known

_UNIONS = ("anyOf", "oneOf")
_OF_ALL = (*_UNIONS, "enum", "const")
_OF_SEVERAL = ("patternProperties", "additionalProperties")
_PLAIN_OBJECT = {"type", "properties", "required", "additionalProperties", *DEFINITIONS, *NOTES}
_PLAIN_LIST = {"type", "items", "minItems", "maxItems", *DEFINITIONS, *NOTES}


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
        return options_of(self.schema, self.schema)


def arguments_schema(schema: Mapping[str, Any]) -> JsonObject:
    """Return the schema of a tool's arguments; one that says nothing of them has none."""
    if schema.keys() & {"$ref", "allOf", *_UNIONS}:
        return dict(schema)
    return {"type": "object", "properties": {}, **schema}


def parameters_of(schema: Mapping[str, Any], *, is_strict: bool = False) -> list[Parameter]:
    """Return the parameters that the schema of a tool's arguments names, in its order.

    Args:
        schema: the schema.
        is_strict: what the schema says of all arguments has to hold.

    Raises:
        ValueError: it is strict, and says of all arguments what their list cannot tell.
    """
    parts = parts_of(schema, schema)
    listed = [part["required"] for part in parts if isinstance(part.get("required"), list)]
    required = [name for names in listed for name in names if isinstance(name, str)]
    named = [part.get("properties") for part in parts]
    names = [name for known in named if isinstance(known, Mapping) for name in known]
    found = []
    for name in dict.fromkeys([*names, *required]):
        value = combined(_said_of(name, part) for part in parts)
        own = dict(value) if isinstance(value, Mapping) else {}
        if value is not False:
            found.append(Parameter(name, rerooted(own, schema), name in required))
    if is_strict:
        _refuse_unsaid(parts, found)
    return found


def _said_of(name: str, part: JsonObject) -> Any:
    """Return what a schema says of the property `name`."""
    properties, patterns = part.get("properties"), part.get("patternProperties")
    own = properties[name] if isinstance(properties, Mapping) and name in properties else None
    patterned = patterns.items() if isinstance(patterns, Mapping) else ()
    matched = [value for pattern, value in patterned if _is_found(pattern, name)]
    said = [*([] if own is None else [own]), *matched]
    return combined(said) if said else part.get("additionalProperties", {})


def _is_found(pattern: str, name: str) -> bool:
    try:
        return re.search(pattern, name) is not None
    except re.error:
        return False


def _refuse_unsaid(parts: Sequence[JsonObject], found: Sequence[Parameter]) -> None:
    n_required = sum(known.is_required for known in found)
    for part in parts:
        least, most = part.get("minProperties"), part.get("maxProperties")
        unsaid = [key for key in _OF_ALL if key in part]
        unsaid += ["minProperties"] if isinstance(least, int) and least > n_required else []
        unsaid += ["maxProperties"] if isinstance(most, int) and most < len(found) else []
        if unsaid:
            where = "of all arguments together, in calls as this model writes them"
            raise ValueError(f"{unsaid[0]} cannot be enforced {where}")
    for known in found:
        says = known.schema.keys() - {*NOTES, *DEFINITIONS}
        if says and not all(option.keys() - {*NOTES, *DEFINITIONS} for option in known.options):
            raise ValueError(f"the schema of {known.name!r} refers to itself too often")


def kinds_of(schema: Mapping[str, Any], name: str) -> Kinds:
    """Return the JSON types that a tool's schema allows for the argument `name`."""
    if any(part.get(key) for part in parts_of(schema, schema) for key in _OF_SEVERAL):
        known = next((one for one in parameters_of(schema) if one.name == name), None)
        return kinds_in(known.schema, known.schema) if known else None
    return kinds_in(property_of(schema, name, schema), schema)


def kinds_in(schema: Any, root: Any) -> Kinds:
    """Return the JSON types that `schema` allows, which is part of `root`."""
    if not isinstance(schema, Mapping) or not isinstance(root, Mapping):
        return None
    kinds = [kind_of_option(option) for option in options_of(schema, root)]
    return None if None in kinds else frozenset(kind for kind in kinds if kind is not None)


def property_of(schema: Any, name: str, root: Any) -> Any:
    """Return the schema of the property `name` of `schema`, which is part of `root`."""
    return _inner(schema, "properties", root, name)


def names_in(schema: Any, root: Any) -> list[str]:
    """Return the names of the properties of `schema`, which is part of `root`."""
    if not isinstance(schema, Mapping) or not isinstance(root, Mapping):
        return []
    options = options_of(schema, root)
    return list(dict.fromkeys(known.name for part in options for known in parameters_of(part)))


def items_of(schema: Any, root: Any) -> Any:
    """Return the schema of the items of `schema`, which is part of `root`."""
    return _inner(schema, "items", root)


def _inner(schema: Any, key: str, root: Any, name: str | None = None) -> Any:
    if not isinstance(schema, Mapping) or not isinstance(root, Mapping):
        return None
    options = options_of(schema, root)
    for part in (part for option in options for part in (option, *option.get("allOf", []))):
        found = part.get(key) if isinstance(part, Mapping) else None
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
    carried = {key: option[key] for key in DEFINITIONS if key in option}
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
