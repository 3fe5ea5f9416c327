"""Which alternatives are seen to exclude each other."""

from __future__ import annotations

from typing import Any

import pytest

from app.chat.grammar.alternatives import exclude_each_other, pointed_at


def tagged(*values: Any, **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"k": {"enum": [*values]}}, "required": ["k"], **more}


ROOT = {"$defs": {"a": tagged("a"), "b": {"$ref": "#/$defs/c"}, "c": tagged("c"), "d/e": 1}}


@pytest.mark.parametrize(
    "options",
    [
        [{"const": 1}, {"enum": ["1", True]}],
        [tagged("a"), tagged("b", "c")],
        [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/b"}],
        [{"const": 1}],
    ],
)
def test_other_listed_values_exclude_each_other(options: list[Any]) -> None:
    assert exclude_each_other(options, ROOT)


@pytest.mark.parametrize(
    "options",
    [
        None,
        [{"const": 1}, {"const": 1.0}],
        [{"const": [1]}, {"const": [1.0]}],
        [{"const": 1}, {"type": "integer"}],
        [tagged("a"), tagged("b", required=[])],
        [tagged("a"), {**tagged("b"), "type": ["object", "null"]}],
        [tagged("a"), tagged("a", "b")],
        [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/x"}],
        [True, {"const": 1}],
    ],
)
def test_what_may_fit_two_does_not(options: Any) -> None:
    assert not exclude_each_other(options, ROOT)


def test_references_are_json_pointers() -> None:
    assert pointed_at("#", ROOT) is ROOT
    assert pointed_at("#/$defs/d~1e", ROOT) == 1
    assert pointed_at("#/a/1", {"a": [0, 1]}) == 1
    assert pointed_at("#/a/2", {"a": [0, 1]}) is pointed_at("x", {}) is pointed_at(1, {}) is None
