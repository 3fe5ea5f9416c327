"""Owns how many properties objects may have, said in what a grammar can enforce.

Pure. A grammar counts properties as they are written, and a name that the schema leaves open may
be written twice: then an object has fewer than were counted. So `minProperties` holds where one
open name is enough, and else among names that the schema lists, of which each comes once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import combinations
from math import comb
from typing import NamedTuple

from app.base.json_types import JsonObject

SIZES = ("minProperties", "maxProperties")
_MAX_CHOICES = 64  # of names that have to be, or must not


class _Names(NamedTuple):
    required: list[str]
    optional: list[str]
    are_open: bool  # there may be others


def sized(schema: JsonObject) -> tuple[JsonObject, str]:
    """Return a schema whose sizes a grammar enforces, and the keyword that none could."""
    least, most = (schema.get(key) for key in SIZES)
    if isinstance(least, int) and isinstance(most, int) and least > most:
        return schema, ""  # nothing fits, and the compiler says so
    result = dict(schema)
    names = _names_of(schema)
    for key, write in (("minProperties", _least), ("maxProperties", _most)):
        value = result.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            continue
        said = write(names, value)
        if said is None:
            return schema, key
        if said != [{key: value}]:
            del result[key]
            allof = result.get("allOf", [])
            if said and isinstance(allof, list):
                result["allOf"] = [*allof, {"anyOf": said}]
    return result, ""


def _names_of(schema: JsonObject) -> _Names:
    named, listed = schema.get("properties"), schema.get("required")
    named = named if isinstance(named, dict) else {}
    listed = listed if isinstance(listed, list) else []
    required = [name for name in listed if isinstance(name, str)]
    optional = [name for name, value in named.items() if value is not False]
    others = schema.get("additionalProperties", True) is not False
    return _Names(
        required=list(dict.fromkeys(required)),
        optional=[name for name in optional if name not in required],
        are_open=others or bool(schema.get("patternProperties")),
    )


def _least(names: _Names, least: int) -> list[JsonObject] | None:
    """Return what a schema says for `minProperties`, as options; none where it says nothing."""
    missing = least - len(names.required)
    if missing <= 0:
        return []
    kept: list[JsonObject] = [{"minProperties": least}]
    if names.are_open:
        return kept if missing == 1 and not names.optional else None
    if missing > len(names.optional):
        return kept  # nothing fits, and the compiler says so
    if not names.required and least == 1:
        return kept
    if comb(len(names.optional), missing) > _MAX_CHOICES:
        return None
    return [{"required": [*chosen]} for chosen in _chosen(names.optional, missing)]


def _most(names: _Names, most: int) -> list[JsonObject] | None:
    """Return what a schema says for `maxProperties`, as options; none where it says nothing."""
    kept: list[JsonObject] = [{"maxProperties": most}]
    left = most - len(names.required)
    if left < 0 or (not names.optional and names.are_open):
        return kept
    if names.are_open:
        return None
    n_absent = len(names.optional) - left
    if n_absent <= 0:
        return []
    if comb(len(names.optional), n_absent) > _MAX_CHOICES:
        return None
    return [
        {"properties": dict.fromkeys(chosen, False)} for chosen in _chosen(names.optional, n_absent)
    ]


def _chosen(names: Collection[str], n_chosen: int) -> Iterator[tuple[str, ...]]:
    return combinations(names, n_chosen)
