"""Which objects are closed, and that closing never forbids all there was."""

from __future__ import annotations

from typing import Any

import pytest

from app.chat.grammar.closed_schema import closed

PERSON: dict[str, Any] = {"type": "object", "properties": {"name": {"type": "string"}}}
CLOSED_PERSON = {**PERSON, "additionalProperties": False}


def test_an_object_allows_what_it_names_and_no_more() -> None:
    assert closed(PERSON) == CLOSED_PERSON


def test_objects_inside_are_closed_too() -> None:
    schema = {
        "type": "object",
        "properties": {"list": {"type": "array", "items": PERSON}, "one": {"$ref": "#/$defs/p"}},
        "$defs": {"p": PERSON},
    }
    result = closed(schema)
    assert result["properties"]["list"]["items"] == CLOSED_PERSON
    assert result["$defs"]["p"] == CLOSED_PERSON


def test_alternatives_are_closed_one_by_one() -> None:
    assert closed({"anyOf": [PERSON, {"type": "null"}]}) == {
        "anyOf": [CLOSED_PERSON, {"type": "null"}]
    }


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object"},
        {**PERSON, "additionalProperties": True},
        {**PERSON, "patternProperties": {"^x": {}}},
        {**PERSON, "required": ["age"]},
        {**PERSON, "anyOf": [{"properties": {"age": {}}}]},
        {"allOf": [PERSON, {"properties": {"age": {"type": "integer"}}}]},
        {"$defs": {"p": PERSON}, "$ref": "#/$defs/p", "properties": {"age": {}}},
    ],
)
def test_what_allows_others_or_is_combined_stays_open(schema: dict[str, Any]) -> None:
    assert closed(schema) == schema


def test_the_schema_itself_is_not_changed() -> None:
    closed(PERSON)
    assert "additionalProperties" not in PERSON


def test_a_schema_of_any_depth_is_taken() -> None:
    schema: dict[str, Any] = {}
    for _ in range(500):
        schema = {"properties": {"a": schema}}
    assert closed(schema) == schema
