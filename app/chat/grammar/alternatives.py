"""Owns which alternatives of a JSON schema exclude each other; pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_MAX_HOPS = 8


def exclude_each_other(options: Any, root: Any) -> bool:
    """Return whether no value can fit two of these schemas, as far as is easily seen.

    They list values that all differ, or they are objects that differ in the listed values of one
    property that each requires. False where it is not known.
    """
    if not isinstance(options, list):
        return False
    known = [_resolved(option, root) for option in options]
    return _differ(map(_listed, known)) or any(
        _differ(_tags(option, name) for option in known) for name in _required(known[:1])
    )


def _differ(listed: Iterable[set[str] | None]) -> bool:
    seen: set[str] = set()
    for values in listed:
        if values is None or seen & values:
            return False
        seen |= values
    return True


def _tags(option: Mapping[str, Any], name: str) -> set[str] | None:
    named = option.get("properties")
    is_tagged = option.get("type") == "object" and name in _required([option])
    return _listed(named.get(name)) if is_tagged and isinstance(named, Mapping) else None


def _required(options: Sequence[Mapping[str, Any]]) -> list[str]:
    listed = [option.get("required") for option in options]
    names = [name for names in listed if isinstance(names, list) for name in names]
    return [name for name in names if isinstance(name, str)]


def _listed(schema: Any) -> set[str] | None:
    """Return the values that a schema lists, in one spelling; None where it lists none."""
    if not isinstance(schema, Mapping):
        return None
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    return {_spelled(value) for value in values} if isinstance(values, list) else None


def _spelled(value: Any) -> str:
    return json.dumps(_plain(value), sort_keys=True)


def _plain(value: Any) -> Any:
    """Return a JSON value in which 1.0 is 1, as JSON Schema has it."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _resolved(schema: Any, root: Any) -> Mapping[str, Any]:
    """Return what a schema refers to, or the schema itself."""
    for _ in range(_MAX_HOPS):
        if not isinstance(schema, Mapping):
            return {}
        if "$ref" not in schema:
            return schema
        schema = pointed_at(schema["$ref"], root)
    return {}


def pointed_at(pointer: Any, root: Any) -> Any:
    """Return the part of a schema that a reference in it points at; None if there is none."""
    if not isinstance(pointer, str) or not pointer.startswith("#/"):
        return root if pointer == "#" else None
    found = root
    for key in pointer.split("/")[1:]:
        key = key.replace("~1", "/").replace("~0", "~")
        if isinstance(found, list) and key.isdigit() and int(key) < len(found):
            found = found[int(key)]
        else:
            found = found.get(key) if isinstance(found, Mapping) else None
    return found
