"""A value between tags becomes the JSON that the tool's schema allows.

Covers `app.chat.tool_formats.syntax.arguments` and `app.chat.tool_formats.syntax.parameters`.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.chat.tool_formats.syntax.arguments import ANY_JSON, TEXT, Value, offered_kinds
from app.chat.tool_formats.syntax.parameters import Kinds

SCHEMA: dict[str, Any] = {
    "properties": {
        "text": {"type": "string"},
        "count": {"type": ["integer", "null"]},
        "either": {"anyOf": [{"type": "string"}, {"type": "number"}]},
        "broken": 7,
    }
}


def turned(text: str, kinds: Kinds, *, is_line: bool = False, n_piece: int = 1) -> Any:
    pieces: list[str] = []
    value = Value(pieces.append, kinds, is_line=is_line)
    for start in range(0, len(text), n_piece):
        value.write(text[start : start + n_piece])
    value.close()
    return json.loads("".join(pieces))


@pytest.mark.parametrize("n_piece", [1, 3, 100])
@pytest.mark.parametrize(
    ("text", "kinds", "expected"),
    [
        ("5", None, 5),
        ("5", TEXT, "5"),
        ("5", frozenset({"integer"}), 5),
        ("5", frozenset({"number", "string"}), 5),
        ("five", frozenset({"number", "string"}), "five"),
        ('{"a": [1]}', None, {"a": [1]}),
        ('{"a": [1]}', TEXT, '{"a": [1]}'),
        ("{'a': True}", frozenset({"object"}), {"a": True}),
        ("True", ANY_JSON, True),
        ("true", None, True),
        ("NaN", None, "NaN"),
        ("", None, ""),
        ('say "hi"\n', TEXT, 'say "hi"\n'),
        ("1" * 80, None, int("1" * 80)),
        ("a" * 200, None, "a" * 200),
    ],
)
def test_the_schema_decides_what_a_value_is(
    text: str, kinds: Kinds, expected: object, n_piece: int
) -> None:
    assert turned(text, kinds, n_piece=n_piece) == expected


@pytest.mark.parametrize("n_piece", [1, 2, 100])
@pytest.mark.parametrize(
    ("text", "expected"),
    [("\na\n", "a"), ("\r\na\r\n", "a"), ("\n\na\n\n", "\na\n"), ("a", "a"), ("\n", "")],
)
def test_the_line_breaks_around_a_value_are_not_part_of_it(
    text: str, expected: str, n_piece: int
) -> None:
    assert turned(text, TEXT, is_line=True, n_piece=n_piece) == expected


@pytest.mark.parametrize(
    ("key", "kinds"),
    [
        ("text", {"string"}),
        ("count", {"integer", "null"}),
        ("either", {"string", "number"}),
    ],
)
def test_the_kinds_of_an_argument_are_those_of_its_schema(key: str, kinds: set[str]) -> None:
    assert offered_kinds({"f": SCHEMA}, "f", key) == frozenset(kinds)


@pytest.mark.parametrize("offered", [None, {"f"}, {"g": SCHEMA}, {"f": 7}])
def test_a_tool_without_a_schema_takes_any_kind(offered: Any) -> None:
    assert offered_kinds(offered, "f", "text") is None


@pytest.mark.parametrize("key", ["broken", "unknown"])
def test_an_argument_without_a_schema_takes_any_kind(key: str) -> None:
    assert offered_kinds({"f": SCHEMA}, "f", key) is None
