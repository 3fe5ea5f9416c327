"""Owns which texts a JSON schema for strings allows, said in regular expressions.

Pure; must not know grammars. The expressions are of Rust's kind, without look-around, and have
to match the whole text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

ANY = "(?s:.*)"

_TIME = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?(?:Z|[+-][01][0-9]:[0-5][0-9])"
_DATE = r"[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])"
_LATE_DATE = r"[0-9]{4}-(?:(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)"
_ANY_DATE = f"(?:{_DATE}|{_LATE_DATE})"
_BYTE = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST = rf"{_LABEL}(?:\.{_LABEL})*"
_FORMATS = {
    "date": _ANY_DATE,
    "time": _TIME,
    "date-time": f"{_ANY_DATE}T{_TIME}",
    "email": rf"[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*@{_HOST}",
    "hostname": _HOST,
    "ipv4": rf"{_BYTE}(?:\.{_BYTE}){{3}}",
    "uuid": "[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}",
    "uri": r"[A-Za-z][A-Za-z0-9+.-]*:[A-Za-z0-9._~:/?#@!$&'()*+,;=-]+",
}

_VALUES = ("const", "enum", "default", "examples")  # what is in them is no schema
_PIECES = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\(\?.|[*+?}]\?|.", re.DOTALL)
_CLASS_PIECES = re.compile(r"\\.|.", re.DOTALL)
_ASCII = {r"\d": "0-9", r"\w": "A-Za-z0-9_"}  # what they mean in a JSON schema
_NOT_ENFORCED = re.compile(r"\(\?[^:]|[*+?}]\?|\\[bBkpP1-9]", re.DOTALL)


def exactly(text: str) -> str:
    """Return an expression for this text; Python reads it too."""
    return "".join(char if char.isalnum() else f"\\U{ord(char):08x}" for char in text)


def containing(text: str) -> str:
    """Return an expression for texts with this text in them."""
    return f"{ANY}{exactly(text)}{ANY}"


def text_limits(schema: Mapping[str, Any], *, is_strict: bool = False) -> list[str]:
    """Return expressions that a text has to match all of, for what `schema` says of strings.

    Raises:
        ValueError: `is_strict`, and the schema says what no such expression can.
    """
    limits = [_length(schema)]
    for key, translate in (("pattern", whole_text_pattern), ("format", _FORMATS.get)):
        wanted = schema.get(key)
        if isinstance(wanted, str):
            found = translate(wanted)
            if found is None and is_strict:
                raise ValueError(f"the {key} {wanted!r} cannot be enforced")
            limits.append(found or "")
    return [limit for limit in limits if limit]


def _length(schema: Mapping[str, Any]) -> str:
    least, most = schema.get("minLength"), schema.get("maxLength")
    least = least if isinstance(least, int) and least > 0 else 0
    most = most if isinstance(most, int) and most >= least else None
    return f"(?s:.{{{least},{'' if most is None else most}}})" if least or most is not None else ""


def whole_text_pattern(pattern: str) -> str | None:
    """Return an expression for the texts in which `pattern`, of a JSON schema, matches something.

    None where it cannot be said: look-around, references, word boundaries, anchors inside.
    """
    branches: list[list[str]] = [[]]
    depth = 0
    for piece in _PIECES.findall(pattern):
        if _NOT_ENFORCED.fullmatch(piece):
            return None
        depth += {"(": 1, "(?:": 1, ")": -1}.get(piece, 0)
        if piece == "|" and not depth:
            branches.append([])
        else:
            branches[-1].append(_translated(piece))
    wholes = [_whole(branch) for branch in branches]
    if depth or None in wholes:
        return None
    return "|".join(f"(?:{whole})" for whole in wholes)


def without_unsayable_patterns(schema: Any) -> Any:
    """Return a JSON schema without the patterns that `whole_text_pattern` cannot say."""
    if isinstance(schema, list):
        return [without_unsayable_patterns(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    pattern = schema.get("pattern")
    dropped = isinstance(pattern, str) and whole_text_pattern(pattern) is None
    return {
        key: value if key in _VALUES else without_unsayable_patterns(value)
        for key, value in schema.items()
        if not (dropped and key == "pattern")
    }


def _translated(piece: str) -> str:
    if piece in _ASCII:
        return f"[{_ASCII[piece]}]"
    if not (piece.startswith("[") and piece.endswith("]")):
        return piece
    start = "[^" if piece.startswith("[^") else "["
    inner = _CLASS_PIECES.findall(piece[len(start) : -1])
    return start + "".join(_in_class(char) for char in inner) + "]"


def _in_class(char: str) -> str:
    # Rust reads some of these as set operations.
    return _ASCII.get(char, f"\\{char}" if char in "[]&~" else char)


def _whole(branch: list[str]) -> str | None:
    begins, ends = branch[:1] == ["^"], branch[-1:] == ["$"]
    inner = branch[begins : len(branch) - ends]
    if "^" in inner or "$" in inner:
        return None
    return ("" if begins else ANY) + "".join(inner) + ("" if ends else ANY)
