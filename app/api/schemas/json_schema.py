"""Owns the limits on the size and depth of a JSON schema; must not know what it means."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import AfterValidator

from app.base.json_types import JsonObject

MAX_SCHEMA_BYTES = 128 * 1024
MAX_LEVELS = 64


def json_text(value: JsonObject | list[str]) -> str:
    """Return the JSON text of a value, its keys in the order the client wrote them.

    Raises:
        ValueError: it contains NaN or Infinity.
    """
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except ValueError:
        raise ValueError("NaN and Infinity are not valid JSON") from None


def _is_shallow(schema: JsonObject) -> JsonObject:
    level: list[Any] = [schema]
    for _ in range(MAX_LEVELS):
        level = [inner for part in level for inner in _containers_in(part)]
        if not level:
            return schema
    raise ValueError(f"objects and lists may be nested at most {MAX_LEVELS} levels deep")


def _containers_in(part: Any) -> list[Any]:
    inner = part.values() if isinstance(part, dict) else part
    return [value for value in inner if isinstance(value, dict | list)]


def _is_short(schema: JsonObject) -> JsonObject:
    if len(json_text(schema).encode()) > MAX_SCHEMA_BYTES:
        raise ValueError(f"a schema may have at most {MAX_SCHEMA_BYTES} bytes")
    return schema


ShallowSchema = Annotated[JsonObject, AfterValidator(_is_shallow)]
BoundedSchema = Annotated[JsonObject, AfterValidator(_is_shallow), AfterValidator(_is_short)]
