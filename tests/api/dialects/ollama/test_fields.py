"""Format, thinking, options and logprobs become fields of a chat request, and errors go back."""

from __future__ import annotations

from typing import Any

import pytest

from app.api.dialects.ollama.fields import answer_fields, param_of, thinking_fields
from app.api.dialects.ollama.schemas import OllamaFields


def fields(**given: Any) -> dict[str, Any]:
    return answer_fields(OllamaFields.model_validate({"model": "m", "stream": False, **given}))


def test_nothing_is_added_to_a_plain_request() -> None:
    assert fields() == {"stream": False}


def test_a_stream_is_the_default() -> None:
    assert answer_fields(OllamaFields(model="m"))["stream"] is True
    assert answer_fields(OllamaFields(model="m", stream=None))["stream"] is True


@pytest.mark.parametrize("given", [None, ""])
def test_no_format_is_free_text(given: Any) -> None:
    assert "response_format" not in fields(format=given)


def test_a_format_is_any_json_or_a_schema_that_is_not_strict() -> None:
    assert fields(format="json")["response_format"] == {"type": "json_object"}
    schema = {"type": "array", "uniqueItems": True, "format": "RGB"}
    assert fields(format=schema)["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "format", "schema": schema, "strict": False},
    }


def test_null_fields_of_a_schema_are_left_out() -> None:
    schema = {"type": "object", "properties": {"a": {"enum": [None], "title": None}}, "items": None}
    assert fields(format=schema)["response_format"]["json_schema"]["schema"] == {
        "type": "object",
        "properties": {"a": {"enum": [None]}},
    }


@pytest.mark.parametrize(
    ("think", "expected"),
    [
        (None, {}),
        (True, {"enable_thinking": True}),
        (False, {"enable_thinking": False}),
        ("low", {"enable_thinking": True, "reasoning_effort": "low"}),
        ("max", {"enable_thinking": True, "reasoning_effort": "max"}),
    ],
)
def test_thinking_is_a_switch_and_an_effort(think: Any, expected: dict[str, Any]) -> None:
    assert thinking_fields(think) == expected


def test_top_logprobs_count_only_with_logprobs() -> None:
    assert "top_logprobs" not in fields(top_logprobs=3)
    assert fields(logprobs=True) == {"stream": False, "logprobs": True, "top_logprobs": 0}
    assert fields(logprobs=True, top_logprobs=3)["top_logprobs"] == 3


@pytest.mark.parametrize(
    ("field", "param"),
    [
        ("response_format.json_schema.schema", "format"),
        ("response_format", "format"),
        ("enable_thinking", "think"),
        ("reasoning_effort", "think"),
        ("max_tokens", "options.num_predict"),
        ("temperature", "options.temperature"),
        ("stop[1]", "options.stop[1]"),
        ("messages[3].role", "messages[3].role"),
        ("messages[3].reasoning_content", "messages[3].thinking"),
        ("tools[0].function.name", "tools[0].function.name"),
        ("tool_choice", "tool_choice"),
    ],
)
def test_a_field_at_fault_has_ollamas_name(field: str, param: str) -> None:
    assert param_of(field) == param
