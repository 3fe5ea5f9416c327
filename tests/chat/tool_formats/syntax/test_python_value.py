"""Python literals become JSON as they arrive."""

from __future__ import annotations

import ast
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.chat.tool_formats.syntax.python_value import PythonValue

TEXTS = st.text(st.characters(codec="utf-8", max_codepoint=0xFFFF), max_size=8)
LITERALS = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=4), inner),
    max_leaves=12,
)


def turned(text: str, *, n_piece: int = 1) -> tuple[str, PythonValue, int]:
    """Return the JSON text, the reader, and how much of `text` it read."""
    pieces: list[str] = []
    value, n_read = PythonValue(pieces.append), 0
    for start in range(0, len(text), n_piece):
        piece = text[start : start + n_piece]
        n_read = start + value.take(piece)
        if value.complete or value.broken:
            break
    return "".join(pieces), value, n_read


@given(LITERALS, st.integers(1, 6))
def test_what_python_writes_means_the_same_in_json(literal: object, n_piece: int) -> None:
    written = repr(literal)
    json_text, value, n_read = turned(f"{written})", n_piece=n_piece)
    assert value.complete
    assert n_read == len(written)
    assert json.loads(json_text) == literal


@pytest.mark.parametrize("after", [",", ")"])
def test_a_value_ends_before_a_comma_or_parenthesis_of_others(after: str) -> None:
    json_text, value, n_read = turned(f"[1, {{'a': 2}}]{after} more")
    assert (json.loads(json_text), n_read, value.complete) == ([1, {"a": 2}], 13, True)


@pytest.mark.parametrize("text", ["(1, 2)", "]"])
def test_what_has_no_counterpart_in_json_is_not_complete(text: str) -> None:
    _, value, _ = turned(f"{text},")
    assert not value.complete


@pytest.mark.parametrize(
    ("literal", "expected"),
    [(r"'a\x41é'", "aAé"), (r"'it\'s'", "it's"), ('"a\\nb"', "a\nb"), ("'\"'", '"')],
)
def test_escapes_and_quotes_are_those_of_json(literal: str, expected: str) -> None:
    json_text, value, _ = turned(f"{literal},")
    assert value.complete
    assert json.loads(json_text) == expected


@pytest.mark.parametrize(
    "literal",
    [
        r"'\U0001F600 \u00e9 \x41'", r"'\N{SNOWMAN}\N{LATIN SMALL LETTER E WITH ACUTE}'",
        r"'\101\7x\0'", r"'\a\v\b\f\0009'", "'a\\\nb'", r"'it\'s \"'",
        r"['\1', '\12', '\123', '\1234']", "1_000", "0x1F", "0b11", "+5", ".5", "5.", "1e3",
    ],
)  # fmt: skip
def test_literals_mean_what_they_mean_in_python(literal: str) -> None:
    expected = ast.literal_eval(literal)
    for n_piece in (1, 2, 3, 100):
        json_text, value, _ = turned(f"{literal},", n_piece=n_piece)
        assert value.complete
        assert json.loads(json_text) == expected


@pytest.mark.parametrize(
    ("literal", "expected"),
    [
        (r"'\xzz'", r"\xzz"),
        (r"'\U00110000'", r"\U00110000"),
        (r"'\N{NO SUCH NAME}'", r"\N{NO SUCH NAME}"),
        (r"'\N{'", r"\N{"),
        (r"'\ud83d\ude00'", "\U0001f600"),
        (r"'\u12'", r"\u12"),
    ],
)
def test_escapes_that_python_refuses_stay_as_they_are(literal: str, expected: str) -> None:
    for n_piece in (1, 4, 100):
        json_text, value, _ = turned(f"{literal},", n_piece=n_piece)
        assert value.complete
        assert json.loads(json_text) == expected
