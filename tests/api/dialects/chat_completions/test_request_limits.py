"""How much a request may hold: at each limit it is read, one over it the field is named."""

from __future__ import annotations

from typing import Any

import pytest

from app.api.dialects.chat_completions.schemas import ChatRequest
from app.errors import InvalidRequest
from app.web.json_body import parse
from tests.api.requests import read, refusal

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
    ("max_tokens", 2**24, 2**24 + 1),
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
