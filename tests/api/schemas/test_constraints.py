"""A request says what its answer has to be, in OpenAI's, llama-server's or vLLM's words."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.api.schemas.constraints import MAX_CHOICES, MAX_TEXT_BYTES
from app.api.schemas.json_schema import MAX_LEVELS, MAX_SCHEMA_BYTES
from app.protocol import Constraint
from tests.api.requests import command, refusal

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"zebra": {"type": "string"}, "ant": {"type": "integer"}},
    "required": ["zebra"],
}
TEXT = json.dumps(SCHEMA, separators=(",", ":"))
GRAMMAR = 'start: "yes" | "no"'


def json_schema(schema: Any = SCHEMA, **rest: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "zoo", "schema": schema, **rest}}


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(levels - 1):
        schema = {"items": schema}
    return schema


@pytest.mark.parametrize(
    ("fields", "kind", "text", "param"),
    [
        (
            {"response_format": {"type": "json_object"}},
            "json_schema",
            '{"type":"object"}',
            "response_format",
        ),
        (
            {"response_format": {"type": "json_object", "schema": SCHEMA}},
            "json_schema",
            TEXT,
            "response_format.schema",
        ),
        (
            {"response_format": json_schema()},
            "json_schema",
            TEXT,
            "response_format.json_schema.schema",
        ),
        ({"json_schema": SCHEMA}, "json_schema", TEXT, "json_schema"),
        ({"grammar": GRAMMAR}, "grammar", GRAMMAR, "grammar"),
        ({"regex": "[a-z]+"}, "regex", "[a-z]+", "regex"),
        ({"choice": ["yes", "nö"]}, "choice", '["yes","nö"]', "choice"),
        ({"guided_json": SCHEMA}, "json_schema", TEXT, "guided_json"),
        ({"guided_regex": "a"}, "regex", "a", "guided_regex"),
        ({"guided_choice": ["a"]}, "choice", '["a"]', "guided_choice"),
        ({"guided_grammar": GRAMMAR}, "grammar", GRAMMAR, "guided_grammar"),
        ({"structured_outputs": {"json": SCHEMA}}, "json_schema", TEXT, "structured_outputs.json"),
        ({"structured_outputs": {"regex": "a"}}, "regex", "a", "structured_outputs.regex"),
        ({"structured_outputs": {"choice": ["a"]}}, "choice", '["a"]', "structured_outputs.choice"),
        (
            {"structured_outputs": {"grammar": GRAMMAR}},
            "grammar",
            GRAMMAR,
            "structured_outputs.grammar",
        ),
    ],
)
def test_a_constraint_reaches_the_engine_with_the_name_of_its_field(
    fields: dict[str, Any], kind: Any, text: str, param: str
) -> None:
    assert command(**fields).constraint == Constraint(kind=kind, text=text, param=param)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"response_format": None},
        {"response_format": {"type": "text"}},
        {"response_format": {"type": "text", "json_schema": {"name": "x", "schema": {}}}},
        {"grammar": ""},
        {"json_schema": None, "grammar": None, "regex": None, "choice": None},
        {"structured_outputs": None},
        {"structured_outputs": {}},
    ],
)
def test_text_is_free_unless_something_is_asked_of_it(fields: dict[str, Any]) -> None:
    assert command(**fields).constraint is None


@pytest.mark.parametrize(("strict", "expected"), [(True, True), (None, True), (False, False)])
def test_a_schema_is_strict_unless_the_client_says_it_is_not(
    strict: bool | None, expected: bool
) -> None:
    made = command(response_format=json_schema(strict=strict)).constraint
    assert made is not None
    assert made.is_strict is expected


def test_a_schema_needs_no_name_and_may_be_empty() -> None:
    body = {"type": "json_schema", "json_schema": {"schema": {}}}
    made = command(response_format=body).constraint
    assert made is not None
    assert made.text == "{}"


def test_a_number_of_any_size_may_stand_in_a_schema() -> None:
    made = command(json_schema={"maximum": 10**30}).constraint
    assert made is not None
    assert json.loads(made.text) == {"maximum": 10**30}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"response_format": "json"}, "response_format"),
        ({"response_format": {}}, "response_format.type"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}},
            "response_format.json_schema.schema",
        ),
        ({"response_format": json_schema([])}, "response_format.json_schema.schema"),
        ({"response_format": json_schema(strict="yes")}, "response_format.json_schema.strict"),
        ({"response_format": json_schema(name=5)}, "response_format.json_schema.name"),
        ({"response_format": {"type": "json_object", "schema": "x"}}, "response_format.schema"),
        ({"json_schema": "{}"}, "json_schema"),
        ({"json_schema": {"minimum": float("inf")}}, "json_schema"),
        ({"grammar": 5}, "grammar"),
        ({"regex": ""}, "regex"),
        ({"regex": 5}, "regex"),
        ({"choice": "yes"}, "choice"),
        ({"choice": []}, "choice"),
        ({"choice": ["a", ""]}, "choice[1]"),
        ({"choice": ["a", 5]}, "choice[1]"),
        ({"choice": ["a", "b", "a"]}, "choice"),
        ({"choice": [str(n) for n in range(MAX_CHOICES + 1)]}, "choice"),
        ({"structured_outputs": {"regex": ""}}, "structured_outputs.regex"),
        ({"structured_outputs": {"json": 5}}, "structured_outputs.json"),
    ],
)
def test_a_wrong_constraint_is_refused_by_the_name_of_its_field(
    fields: dict[str, Any], param: str
) -> None:
    assert refusal(**fields).param == param


@pytest.mark.parametrize(
    ("fields", "first", "second"),
    [
        (
            {"response_format": {"type": "json_object"}, "json_schema": SCHEMA},
            "response_format",
            "json_schema",
        ),
        ({"grammar": GRAMMAR, "regex": "a"}, "grammar", "regex"),
        ({"guided_choice": ["a"], "choice": ["a"]}, "choice", "guided_choice"),
        (
            {"structured_outputs": {"regex": "a", "choice": ["b"]}},
            "structured_outputs.regex",
            "structured_outputs.choice",
        ),
    ],
)
def test_only_one_constraint_can_be_met(fields: dict[str, Any], first: str, second: str) -> None:
    error = refusal(**fields)
    assert error.param == second
    assert first in error.message


@pytest.mark.parametrize(
    ("field", "small", "large"),
    [
        ("json_schema", nested(MAX_LEVELS), nested(MAX_LEVELS + 1)),
        ("json_schema", {"title": "x" * 1000}, {"title": "x" * MAX_SCHEMA_BYTES}),
        ("grammar", "x" * MAX_TEXT_BYTES, "x" * MAX_TEXT_BYTES + "x"),
        ("regex", "x" * MAX_TEXT_BYTES, "x" * MAX_TEXT_BYTES + "x"),
        ("choice", ["x" * 1000], ["x" * MAX_TEXT_BYTES]),
    ],
)
def test_a_constraint_has_a_size_that_is_told_where_it_is_too_large(
    field: str, small: Any, large: Any
) -> None:
    assert command(**{field: small}).constraint
    error = refusal(**{field: large})
    assert error.param == field
    assert any(
        str(limit) in error.message for limit in (MAX_LEVELS, MAX_SCHEMA_BYTES, MAX_TEXT_BYTES)
    )
