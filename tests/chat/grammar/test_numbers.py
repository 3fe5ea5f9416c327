"""Which numbers of a schema are exact in a grammar, and where bounds go that are not."""

from __future__ import annotations

from typing import Any

import pytest

from app.chat.grammar.numbers import exact_bounds, is_exact


@pytest.mark.parametrize("value", [1, -(2**53), 2**60, 0.1, True, "a", None, {"a": [2**53]}])
def test_numbers_that_a_float_holds_are_exact(value: Any) -> None:
    assert is_exact(value)


@pytest.mark.parametrize("value", [2**53 + 1, -(2**60) - 1, 10**30, 10**400, {"a": [2**53 + 1]}])
def test_numbers_that_a_float_rounds_are_not(value: Any) -> None:
    assert not is_exact(value)


@pytest.mark.parametrize(
    ("given", "moved"),
    [
        ({"minimum": 3, "maximum": 2.5}, {"minimum": 3, "maximum": 2.5}),
        ({"minimum": 2**53 + 1}, {"minimum": 2**53 + 2}),
        ({"maximum": 2**53 + 1}, {"maximum": 2**53}),
        ({"exclusiveMaximum": 2**60}, {"maximum": 2**60 - 128}),
        ({"exclusiveMinimum": 2**60}, {"minimum": 2**60 + 256}),
        ({"exclusiveMaximum": 2**60, "maximum": 5}, {"maximum": 5}),
        (
            {"maximum": 2**60, "exclusiveMaximum": True},
            {"maximum": 2**60 - 128, "exclusiveMaximum": True},
        ),
        ({"exclusiveMinimum": 0, "maximum": 0.5}, {"minimum": 1e-14, "maximum": 0.5}),
        ({"exclusiveMaximum": -3, "maximum": -4}, {"maximum": -4}),
        ({"minimum": 1, "exclusiveMinimum": True}, {"minimum": 1 + 1e-14}),
        ({"exclusiveMinimum": 3, "type": "integer"}, {"exclusiveMinimum": 3, "type": "integer"}),
        ({"maximum": 2**63 - 1}, {"maximum": 2**63 - 1024}),
        ({"minimum": -(2**63)}, {"minimum": 1024 - 2**63}),
        ({"maximum": 1e300}, {"maximum": 2**63 - 1024}),
        ({"maximum": 10**400}, {"maximum": 2**63 - 1024}),
        ({"minimum": -(10**400)}, {"minimum": 1024 - 2**63}),
        ({"maximum": "x", "minimum": True}, {"maximum": "x", "minimum": True}),
    ],
)  # fmt: skip
def test_bounds_move_to_the_next_number_inside(
    given: dict[str, Any], moved: dict[str, Any]
) -> None:
    assert exact_bounds(given) == (moved, "")


@pytest.mark.parametrize("key", ["minimum", "exclusiveMinimum"])
def test_a_bound_beyond_all_numbers_of_a_grammar_has_none(key: str) -> None:
    for bound in (2**64, 10**400):
        assert exact_bounds({key: bound}) == ({key: bound}, key)
