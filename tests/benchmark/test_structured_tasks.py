"""What structured answers are measured with is bounded, and whitespace is counted right."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from scripts.benchmark.structured_tasks import (
    OBJECT_SCHEMA,
    PERSON,
    PERSON_SCHEMA,
    TOOLS,
    whitespace_share,
)

_BOUNDS = {"const", "enum", "maxLength", "pattern", "maximum", "maxItems", "properties"}


def leaves(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a schema's values that are no objects."""
    for each in schema["properties"].values():
        yield each
        if "items" in each:
            yield each["items"]


@pytest.mark.parametrize(
    "schema", [OBJECT_SCHEMA, *(tool["function"]["parameters"] for tool in TOOLS)]
)
def test_random_weights_come_to_an_end_with_every_value(schema: dict[str, Any]) -> None:
    assert schema["required"] == list(schema["properties"])
    for each in leaves(schema):
        assert each.get("type") == "boolean" or _BOUNDS & each.keys()


def test_the_known_answer_has_the_names_of_its_schema() -> None:
    answer = json.loads(PERSON)
    assert set(PERSON_SCHEMA["required"]) <= answer.keys() <= PERSON_SCHEMA["properties"].keys()
    order = [name for name in PERSON_SCHEMA["properties"] if name in answer]
    assert list(answer) == order, "a grammar writes names in the schema's order"


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ('{"a":1}', 0.0),
        ('{ "a": 1}', 2 / 9),
        ('["a b", "é"]', 1 / 12),
        ("\n\n[]\t\t", 4 / 6),
        ("no JSON", 0.0),
        ("", 0.0),
    ],
)
def test_whitespace_between_values_is_counted_and_none_within(text: str, share: float) -> None:
    assert whitespace_share(text) == pytest.approx(share)
