"""The end of a JSON value is found wherever the text is cut."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.chat.parsing.json_value import JsonValue

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=12,
)


def end_of(text: str, *, n_piece: int = 1) -> int:
    """Return where the value at the beginning of `text` ends, which comes in pieces."""
    value, end = JsonValue(), 0
    for start in range(0, len(text), n_piece):
        piece = text[start : start + n_piece]
        at = value.take(piece, 0)
        end = start + at
        if value.complete or value.broken:
            break
    assert value.complete
    return end


@given(JSON, st.integers(1, 5))
def test_a_value_ends_before_what_follows_it(value: object, n_piece: int) -> None:
    text = json.dumps(value)
    assert end_of(f"{text},", n_piece=n_piece) == len(text)


@pytest.mark.parametrize("text", ["}", "[}", '{"a": 1]', "?", '{"a" ; 1}'])
def test_what_is_no_json_is_broken(text: str) -> None:
    value = JsonValue()
    value.take(text, 0)
    assert value.broken
    assert not value.complete


def test_a_number_is_complete_only_once_something_else_follows() -> None:
    value = JsonValue()
    assert value.take("12", 0) == 2
    assert (value.complete, value.kind) == (False, "1")
    assert value.take("3 ", 0) == 1
    assert value.complete is True


@pytest.mark.parametrize(
    ("text", "in_string"), [('"a', True), ('"a\\"', True), ('"a"', False), ('{"a', True)]
)
def test_an_open_string_is_known(text: str, in_string: bool) -> None:
    value = JsonValue()
    value.take(text, 0)
    assert value.in_string == in_string
