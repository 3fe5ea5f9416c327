"""Owns the conversion of logged values to text; never raises."""

from __future__ import annotations

import json


def describe(value: object) -> str:
    """Return a value that JSON cannot represent, as text."""
    try:
        return value.decode(errors="backslashreplace") if isinstance(value, bytes) else repr(value)
    except Exception as error:
        return f"<{type(value).__name__} without repr: {type(error).__name__}>"


def to_json(value: object, *, ascii_only: bool = False) -> str:
    """Return a value as JSON on one line."""
    try:
        return json.dumps(value, default=describe, ensure_ascii=ascii_only, allow_nan=False)
    except (TypeError, ValueError, RecursionError):  # odd keys or numbers, endless lists
        plain: object = describe(value)
        if isinstance(value, dict):
            plain = {str(key): _plain(part) for key, part in value.items()}
        return json.dumps(plain, ensure_ascii=ascii_only)


def to_text(value: object) -> str:
    """Return a value as text: strings and numbers as they are, all else as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes | float):
        return describe(value)
    return to_json(value)


def _plain(value: object) -> object:
    return value if value is None or isinstance(value, str | int) else describe(value)
