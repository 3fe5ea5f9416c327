"""Owns bounds of a JSON schema's numbers that the grammar's compiler would not hold exactly.

Pure. The compiler holds numbers as 64-bit floats: above 2^53 they are not exact. Bounds are moved
to the nearest number inside that is exact, so that no more is admitted than the schema allows. It
also admits an excluded bound that is whole where the other bound has the same whole part, as 1 for
numbers above 1 up to 1.5; so that is no bound, but the number beside it is.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any, TypeGuard

from app.base.json_types import JsonObject

_EXACT = 2**53
_N_DIGITS = 15  # that any float has
# What a bound may be for the compiler: it turns those of integers into 64-bit ones.
_LARGEST = 2**63 - 1024
_LOWER = ("minimum", "exclusiveMinimum")
_UPPER = ("maximum", "exclusiveMaximum")
BOUNDS = (*_LOWER, *_UPPER)


def is_exact(value: Any) -> bool:
    """Return whether the numbers in a JSON value are what a grammar for it admits."""
    if isinstance(value, list):
        return all(map(is_exact, value))
    if isinstance(value, dict):
        return all(map(is_exact, value.values()))
    if isinstance(value, bool) or not isinstance(value, int):
        return True
    return abs(value) <= _EXACT or (abs(value) < 2**1023 and float(value) == value)


def exact_bounds(schema: JsonObject) -> tuple[JsonObject, str]:
    """Return a schema with bounds that are exact, and the keyword for which there are none."""
    schema = _without_excluded_wholes(schema)
    large = [key for key in BOUNDS if _is_large(schema.get(key))]
    if not large:
        return schema, ""
    result = dict(schema)
    for key in large:
        is_lower = key in _LOWER
        bound = Fraction(result.pop(key))
        if key.startswith("exclusive") or _is_exclusive(schema, is_lower=is_lower):
            bound += 1 if is_lower else -1
        # An upper bound is the lower bound of the negated number.
        inside = _at_least(bound if is_lower else -bound)
        if inside is None:
            return schema, key
        kept = _LOWER[0] if is_lower else _UPPER[0]
        found: int | float = inside if is_lower else -inside
        other = result.get(kept)
        if _is_number(other):
            found = max(found, other) if is_lower else min(found, other)
        result[kept] = found
    return result, ""


def _without_excluded_wholes(schema: JsonObject) -> JsonObject:
    """Return a schema in which no small whole number is an exclusive bound of fractions."""
    if schema.get("type") == "integer":
        return schema
    result = dict(schema)
    for plain, exclusive in (_LOWER, _UPPER):
        is_lower = plain == _LOWER[0]
        bound = schema.get(plain if schema.get(exclusive) is True else exclusive)
        if exclusive not in schema or not _is_number(bound):
            continue
        if abs(bound) >= _EXACT or bound != int(bound):
            continue
        step = 10.0 ** (len(str(abs(int(bound)))) - _N_DIGITS)
        found, other = bound + (step if is_lower else -step), schema.get(plain)
        if _is_number(other):
            found = max(found, other) if is_lower else min(found, other)
        del result[exclusive]
        result[plain] = found
    return result


def _is_number(value: Any) -> TypeGuard[int | float]:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool)


def _is_large(value: Any) -> bool:
    return _is_number(value) and abs(value) >= _EXACT


def _is_exclusive(schema: JsonObject, *, is_lower: bool) -> bool:
    """Return whether a bound is exclusive as Draft 4 says it, with true."""
    return schema.get(_LOWER[1] if is_lower else _UPPER[1]) is True


def _at_least(bound: Fraction) -> int | None:
    """Return the least whole number from `bound` up that a float has exactly."""
    if bound > _LARGEST:
        return None
    found = max(math.ceil(bound), -_LARGEST)
    nearest = int(float(found))
    return nearest if nearest >= found else int(math.nextafter(float(found), math.inf))
