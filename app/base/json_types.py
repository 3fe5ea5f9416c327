"""Owns what JSON is to the other modules: the type of an object, and text it can carry."""

from __future__ import annotations

import json
import re
from typing import Any

JsonObject = dict[str, Any]

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_LONE = re.compile("[\ud800-\udfff]")
_SURROGATE_ESCAPES = re.compile(
    rb"(?<!\\)((?:\\\\)*)(\\u[dD][89abAB][0-9a-fA-F]{2}(\\u[dD][c-fC-F][0-9a-fA-F]{2})?"
    rb"|\\u[dD][c-fC-F][0-9a-fA-F]{2})"
)


def as_json(value: Any) -> bytes:
    """Return a value as JSON text; numbers that JSON does not have are written as Python's."""
    return json.dumps(value, ensure_ascii=False).encode()


def without_lone_surrogates(text: str) -> str:
    """Return `text` with U+FFFD for each lone surrogate: UTF-8 has no bytes for them."""
    return text if text.isascii() else _LONE.sub(_REPLACEMENT, text)


def without_lone_escapes(json_text: bytes) -> bytes:
    """Return JSON text with `\\ufffd` for each escape that is half of a surrogate pair."""
    if b"\\ud" not in json_text and b"\\uD" not in json_text:
        return json_text
    return _SURROGATE_ESCAPES.sub(_checked, json_text)


def _checked(escape: re.Match[bytes]) -> bytes:
    backslashes, _, second_half = escape.groups()
    return escape[0] if second_half else backslashes + b"\\ufffd"


def plain_json(value: Any) -> Any:
    """Return a JSON value with U+FFFD for each lone surrogate in its texts."""
    match value:
        case str():
            return without_lone_surrogates(value)
        case list():
            return [plain_json(item) for item in value]
        case dict():
            return {plain_json(key): plain_json(item) for key, item in value.items()}
        case _:
            return value
