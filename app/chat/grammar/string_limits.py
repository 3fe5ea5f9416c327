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
_YEAR = "(?:[1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])"
_LEAP_YEAR = "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)"
_DATE = rf"{_YEAR}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])"
_LATE_DATE = rf"{_YEAR}-(?:(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)"
_ANY_DATE = f"(?:{_DATE}|{_LATE_DATE}|{_LEAP_YEAR}-02-29)"
_BYTE = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST = rf"{_LABEL}(?:\.{_LABEL})*"
_HEX = "[0-9a-fA-F]{1,4}"
_IPV6_FORMS = [
    f"(?:{_HEX}:){{7}}{_HEX}",
    f"(?:{_HEX}:){{1,7}}:",
    *(f"(?:{_HEX}:){{1,{7 - n}}}(?::{_HEX}){{1,{n}}}" for n in range(1, 7)),
    f":(?::{_HEX}){{1,7}}",
    "::",
]
_IPV6 = f"(?:{'|'.join(_IPV6_FORMS)})"
_HMS = "(?:[0-9]+H(?:[0-9]+M(?:[0-9]+S)?)?|[0-9]+M(?:[0-9]+S)?|[0-9]+S)"
_YMD = "(?:[0-9]+Y(?:[0-9]+M(?:[0-9]+D)?)?|[0-9]+M(?:[0-9]+D)?|[0-9]+D)"
_FORMATS = {
    "date": _ANY_DATE,
    "time": _TIME,
    "date-time": f"{_ANY_DATE}T{_TIME}",
    "email": rf"[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*@{_HOST}",
    "hostname": _HOST,
    "ipv4": rf"{_BYTE}(?:\.{_BYTE}){{3}}",
    "ipv6": _IPV6,
    "duration": f"P(?:{_YMD}(?:T{_HMS})?|T{_HMS}|[0-9]+W)",
    "uuid": "[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}",
    "uri": r"[A-Za-z][A-Za-z0-9+.-]*:[A-Za-z0-9._~:/?#@!$&'()*+,;=-]+",
}

_MAX_LENGTH = 10**6  # no answer is longer
_UNIONS = {"anyOf", "oneOf", "$ref", "not"}
_VALUES = ("const", "enum", "default", "examples")  # what is in them is no schema
_PIECES = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\(\?.|[*+?}]\?|.", re.DOTALL)
_CLASS_PIECES = re.compile(r"\\.|.", re.DOTALL)
# What may be meant by a class: validators read JSON schemas' patterns as JavaScript or as Python
# does. The first is in both of them, and the second is in one at least.
_CLASSES = {
    r"\d": (r"[0-9]", r"[\p{Nd}]"),
    r"\w": (r"[A-Za-z0-9_]", r"[\p{L}\p{M}\p{N}\p{Pc}]"),
    r"\s": (r"[\t-\r \p{Z}]", r"[\t-\r\x1c-\x20\x{85}\x{feff}\p{Z}]"),
    r"\D": (r"[^\p{Nd}]", r"[^0-9]"),
    r"\W": (r"[^\p{L}\p{M}\p{N}\p{Pc}]", r"[^A-Za-z0-9_]"),
    r"\S": (r"[^\t-\r\x1c-\x20\x{85}\x{feff}\p{Z}]", r"[^\t-\r \p{Z}]"),
}
_MISREAD = re.compile(r"\\[AzZG]|[*+?}]\+|\{,|\[[^\]]*--", re.DOTALL)
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
    for part in _parts(schema):
        if is_strict and part.keys() & _UNIONS:
            raise ValueError(f"{', '.join(part.keys() & _UNIONS)} in allOf cannot be enforced")
        listed = [part["const"]] if "const" in part else part.get("enum")
        if isinstance(listed, list):
            texts = [exactly(text) for text in listed if isinstance(text, str)]
            limits.append(f"(?:{'|'.join(texts)})")
        limits += text_limits(part, is_strict=is_strict)
    return [limit for limit in limits if limit]


def _parts(schema: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    listed = schema.get("allOf")
    return (
        [part for part in listed if isinstance(part, Mapping)] if isinstance(listed, list) else []
    )


def _length(schema: Mapping[str, Any]) -> str:
    least, most = schema.get("minLength"), schema.get("maxLength")
    least = int(least) if isinstance(least, int | float) and least > 0 else 0
    most = int(most) if isinstance(most, int | float) and least <= most <= _MAX_LENGTH else None
    return f"(?s:.{{{least},{'' if most is None else most}}})" if least or most is not None else ""


def whole_text_pattern(pattern: str) -> str | None:
    """Return an expression for the texts in which `pattern`, of a JSON schema, matches something.

    None where it cannot be said: look-around, references, word boundaries, anchors inside.
    """
    if is_misread(pattern):
        return None
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


def portable_pattern(pattern: str) -> str:
    """Return a pattern that matches what both JavaScript and Python find with the given one."""
    return "".join(map(_translated, _PIECES.findall(pattern)))


def is_misread(pattern: str) -> bool:
    """Return whether the grammar's compiler takes something in a pattern for something else."""
    return _MISREAD.search(pattern) is not None


def exact_format(name: str) -> str:
    """Return a pattern for a format of which the grammar's compiler allows too much; else ""."""
    return f"^(?:{_FORMATS[name]})$" if name in ("date", "date-time") else ""


def _translated(piece: str) -> str:
    if piece in _CLASSES:
        return _CLASSES[piece][0]
    if piece == ".":
        return r"[^\n\r]"
    if piece in (r"\<", r"\>"):
        return piece[1]
    if not (piece.startswith("[") and piece.endswith("]")):
        return piece
    is_negated = piece.startswith("[^")
    start = "[^" if is_negated else "["
    inner = _CLASS_PIECES.findall(piece[len(start) : -1])
    return start + "".join(_in_class(char, is_negated=is_negated) for char in inner) + "]"


def _in_class(char: str, *, is_negated: bool) -> str:
    if char in _CLASSES:
        return _CLASSES[char][is_negated]
    # Rust reads some of these as set operations.
    return (
        f"\\{char}"
        if char in "[]&~"
        else char.removeprefix("\\")
        if char in (r"\<", r"\>")
        else char
    )


def _whole(branch: list[str]) -> str | None:
    begins, ends = branch[:1] == ["^"], branch[-1:] == ["$"]
    inner = branch[begins : len(branch) - ends]
    if "^" in inner or "$" in inner:
        return None
    return ("" if begins else ANY) + "".join(inner) + ("" if ends else ANY)
