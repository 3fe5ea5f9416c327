"""Of several mistakes in a body, one is told: the first, where it is told most exactly."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, Field, ValidationError

from app.api.schemas.chat import ChatRequest
from app.errors import InvalidRequest
from app.web.validation import explain

USER = {"role": "user", "content": "Hi"}
PART = {"type": "text", "text": "Hi"}


class Named(BaseModel):
    value: int
    value_max: int


class Siblings(BaseModel):
    """Fields whose names begin alike."""

    n: int | None = Field(None, ge=1)
    n_predict: int | None = Field(None, ge=1)
    stop: str | list[str] | None = None
    stop_after: int | None = None
    named: str | list[Named] | None = None
    named_too: list[Named] | None = None


def told(body: Any, schema: type[BaseModel] = Siblings) -> InvalidRequest:
    with pytest.raises(ValidationError) as refused:
        schema.model_validate(body, strict=True)
    return explain(refused.value, schema)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"n": 0, "n_predict": 0}, "n"),
        ({"n": 5, "n_predict": 0}, "n_predict"),
        ({"n": "five", "n_predict": 0}, "n"),
        ({"stop": 5, "stop_after": "x"}, "stop"),
        ({"stop": ["a", 5], "stop_after": "x"}, "stop[1]"),
        ({"stop": [5, 6]}, "stop[0]"),
        ({"named": 5, "named_too": [{}]}, "named"),
        ({"named": [{"value": 1, "value_max": "x"}], "named_too": [{}]}, "named[0].value_max"),
        ({"named_too": [{"value": "x", "value_max": "x"}]}, "named_too[0].value"),
        (
            {"named_too": [{"value": 1, "value_max": 1}] * 10 + [{"value": 1}]},
            "named_too[10].value_max",
        ),
    ],
    ids=str,
)
def test_a_sibling_whose_name_begins_alike_is_another_field(body: Any, param: str) -> None:
    error = told(body)
    assert error.param == param
    assert error.message.startswith(f"{param}: ")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 0, "n_predict": -5}, "n_predict"),
        ({"stream": "yes", "stream_options": {"include_usage": "yes"}}, "stream"),
        ({"stop": ["a", 5], "stream": "yes"}, "stop[1]"),
        (
            {"messages": [{"role": "user", "content": [PART, {"text": "a"}]}]},
            "messages[0].content[1].type",
        ),
    ],
    ids=str,
)
def test_a_chat_request_with_several_mistakes_names_one_with_its_own_reason(
    fields: dict[str, Any], param: str
) -> None:
    error = told({"messages": [USER]} | fields, ChatRequest)
    assert error.param == param
    assert error.message.startswith(f"{param}: ")
