"""Fields of a chat request are read, or refused by their names; they never fail the service."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.schemas.chat import ChatRequest
from app.errors import InvalidRequest
from app.protocol import encode
from app.web.json_body import parse
from tests.api.requests import command, read, refusal

# ---------------------------------------------------------------- fields that depend on each other

TOOL = {"type": "function", "function": {"name": "look_up"}}
OTHER_TOOL = {"type": "function", "function": {"name": "other"}}


@pytest.mark.parametrize(
    ("fields", "n_logprobs"),
    [
        ({}, None),
        ({"logprobs": True}, 0),
        ({"logprobs": True, "top_logprobs": 3}, 3),
        ({"logprobs": False, "top_logprobs": 0}, None),
    ],
)
def test_logprobs_are_returned_only_on_request(
    fields: dict[str, Any], n_logprobs: int | None
) -> None:
    assert read(**fields).n_logprobs == n_logprobs


def test_top_logprobs_need_logprobs() -> None:
    assert refusal(top_logprobs=3).param == "top_logprobs"


@pytest.mark.parametrize(
    "fields",
    [
        {"tool_choice": "required"},
        {"tool_choice": TOOL},
        {"tools": [TOOL], "tool_choice": OTHER_TOOL},
        {"tools": [TOOL], "tool_choice": "required", "regex": "a+"},
    ],
)
def test_tool_choice_must_fit_the_other_fields(fields: dict[str, Any]) -> None:
    assert refusal(**fields).param == "tool_choice"


def test_tools_are_withheld_from_the_model_where_none_may_be_called() -> None:
    assert not read(tools=[TOOL], tool_choice="none").offers_tools
    assert read(tools=[TOOL]).offers_tools


def test_parallel_tool_calls_is_part_of_the_tool_choice() -> None:
    assert read(tools=[TOOL]).chosen_tools.parallel
    assert not read(tools=[TOOL], parallel_tool_calls=False).chosen_tools.parallel


@pytest.mark.parametrize("field", ["functions", "function_call", "audio"])
def test_unsupported_fields_are_refused_unless_they_are_null(field: str) -> None:
    read(**{field: None})
    assert refusal(**{field: {"name": "x"}}).param == field


# ---------------------------------------------------------------- limits

HELLO = {"role": "user", "content": "Hello!"}


def tools(n: int, parameters: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    return [
        {"type": "function", "function": {"name": f"f{i}", "parameters": parameters or {}}}
        for i in range(n)
    ]


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(levels - 1):
        schema = {"not": schema}
    return schema


LIMITS: list[tuple[str, Any, Any]] = [
    ("messages", [HELLO] * 4096, [HELLO] * 4097),
    ("tools", tools(512), tools(513)),
    ("tools", tools(7, {"description": "x" * 73_000}), tools(8, {"description": "x" * 73_000})),
    ("stop", ["x"] * 16, ["x"] * 17),
    ("stop", "x" * 1024, "x" * 1025),
    ("n", 16, 17),
    ("logit_bias", {str(i): 1 for i in range(1024)}, {str(i): 1 for i in range(1025)}),
    ("logit_bias", {"1": 100}, {"1": 100.5}),
    ("json_schema", nested(64), nested(65)),
    ("json_schema", {"description": "x" * 131_000}, {"description": "x" * 131_072}),
    ("grammar", "x" * 65_536, "x" * 65_537),
    ("regex", "x" * 65_536, "x" * 65_537),
    ("choice", [str(i) for i in range(256)], [str(i) for i in range(257)]),
    ("dry_sequence_breakers", ["x"] * 8, ["x"] * 9),
    ("model", "x" * 255, "x" * 256),
]


@pytest.mark.parametrize(
    ("field", "most", "too_much"), LIMITS, ids=[f"{i}-{limit[0]}" for i, limit in enumerate(LIMITS)]
)
def test_a_field_has_a_limit_and_is_named_over_it(field: str, most: Any, too_much: Any) -> None:
    read(**{field: most})
    error = refusal(**{field: too_much})
    assert (error.param or "").partition(".")[0].partition("[")[0] == field
    assert any(character.isdigit() for character in error.message)  # it says how much there may be


@pytest.mark.parametrize("field", ["chat_template_kwargs", "metadata", "messages", "tools"])
@pytest.mark.parametrize("levels", [300, 100_000])
def test_json_is_nested_only_so_deep_also_where_anything_goes(field: str, levels: int) -> None:
    deep = "[" * levels + "]" * levels
    body = f'{{"messages":[],"{field}":{deep}}}'.encode()
    with pytest.raises(InvalidRequest) as refused:
        parse(body, ChatRequest)
    assert refused.value.code == "invalid_json"


# ---------------------------------------------------------------- any value

FIELDS = (
    "tool_choice",
    "tools",
    "response_format",
    "json_schema",
    "structured_outputs",
    "choice",
    "grammar",
    "reasoning_budget",
    "reasoning_format",
    "functions",
    "modalities",
)
WORDS = (
    *("type", "function", "name", "allowed_tools", "mode", "tools", "required", "auto", "object"),
    *("json_schema", "json_object", "schema", "strict", "parameters", "json", "regex", "choice"),
)
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.floats(), st.text(max_size=2))
TEXTS = st.sampled_from(WORDS)
VALUES = st.recursive(
    SCALARS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize("field", FIELDS)
@given(value=VALUES)
def test_any_value_is_read_or_refused(field: str, value: Any) -> None:
    param = field
    try:
        encode(command(**{field: value}))
    except InvalidRequest as error:
        param = error.param or ""
    assert param.partition("[")[0].partition(".")[0] == field
