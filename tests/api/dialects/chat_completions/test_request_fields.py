"""Whatever stands in a field, it is read or refused by its name; it never fails the service."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import InvalidRequest
from app.protocol import encode
from tests.api.requests import command

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
    blamed = field
    try:
        encode(command(**{field: value}))
    except InvalidRequest as error:
        blamed = error.param or ""
    assert blamed.partition("[")[0].partition(".")[0] == field
