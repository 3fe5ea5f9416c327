"""Which sizes of objects a grammar can enforce, and in which words."""

from __future__ import annotations

from typing import Any

import pytest

from app.chat.grammar.object_sizes import sized

ABC: dict[str, Any] = {"properties": {"a": {}, "b": {}, "c": {}}, "additionalProperties": False}
OPEN: dict[str, Any] = {"properties": {"a": {}}}


@pytest.mark.parametrize(
    "schema",
    [
        {"minProperties": 1},
        {"maxProperties": 3},
        {**OPEN, "required": ["a"], "minProperties": 2},
        {**ABC, "minProperties": 1},
        {**ABC, "minProperties": 4},
        {"minProperties": 3, "maxProperties": 2},
        {"minProperties": "x", "maxProperties": -1},
    ],
)
def test_sizes_that_the_compiler_enforces_stay(schema: dict[str, Any]) -> None:
    assert sized(schema) == (schema, "")


@pytest.mark.parametrize(
    "sizes", [{"maxProperties": 3}, {"minProperties": 0}, {"required": ["b"], "minProperties": 1}]
)
def test_sizes_that_always_hold_are_left_out(sizes: dict[str, Any]) -> None:
    kept = {key: value for key, value in sizes.items() if key == "required"}
    assert sized({**ABC, **sizes}) == ({**ABC, **kept}, "")


def test_sizes_of_listed_properties_are_combinations_of_them() -> None:
    least, _ = sized({**ABC, "required": ["a"], "minProperties": 2})
    assert least["allOf"] == [{"anyOf": [{"required": ["b"]}, {"required": ["c"]}]}]
    most, _ = sized({**ABC, "allOf": [{}], "maxProperties": 2})
    assert most["allOf"] == [{}, {"anyOf": [{"properties": {name: False}} for name in "abc"]}]
    assert not {"minProperties", "maxProperties"} & (least.keys() | most.keys())


@pytest.mark.parametrize(
    ("schema", "keyword"),
    [
        ({"minProperties": 2}, "minProperties"),
        ({"patternProperties": {"^x": {}}, "minProperties": 2}, "minProperties"),
        ({**OPEN, "minProperties": 1}, "minProperties"),
        ({**OPEN, "maxProperties": 1}, "maxProperties"),
        ({"properties": {f"p{n}": {} for n in range(20)}, "additionalProperties": False,
          "minProperties": 9}, "minProperties"),
    ],
)  # fmt: skip
def test_sizes_that_repeated_names_would_pass_are_named(
    schema: dict[str, Any], keyword: str
) -> None:
    assert sized(schema) == (schema, keyword)
