"""Owns what JSON is to the other modules: the type of an object, and text it can carry."""

from __future__ import annotations

import json
from typing import Any

JsonObject = dict[str, Any]


def as_json(value: Any) -> bytes:
    """Return a value as JSON text; numbers that JSON does not have are written as Python's."""
    return json.dumps(value, ensure_ascii=False).encode()


def without_lone_surrogates(text: str) -> str:
    """Return `text` with `?` for each lone surrogate: UTF-8 has no bytes for them."""
    return text.encode("utf-8", "replace").decode()
