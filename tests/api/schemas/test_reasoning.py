"""A request says whether, how much and where the model thinks."""

from __future__ import annotations

from typing import Any

import pytest

from app.api.chat.commands import to_render
from app.api.chat.conversation import to_prefill
from app.api.schemas.chat import ChatRequest
from app.api.schemas.conversation import RestoreCacheRequest
from app.base.json_types import as_json
from app.protocol import ReasoningParams
from tests.api.requests import USER, command, refusal

TIGHT = ReasoningParams(is_split=False, budget=100)


def test_what_is_not_asked_for_is_not_passed_to_the_template() -> None:
    made = command(enable_thinking=None, reasoning_effort=None, chat_template_kwargs=None)
    assert made.template_kwargs == {}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"enable_thinking": True}, {"enable_thinking": True}),
        ({"enable_thinking": False}, {"enable_thinking": False}),
        ({"reasoning_effort": "high"}, {"reasoning_effort": "high"}),
        (
            {"reasoning_effort": "none"},
            {"reasoning_effort": "none", "enable_thinking": False},
        ),
        (
            {"reasoning_effort": "none", "enable_thinking": True},
            {"reasoning_effort": "none", "enable_thinking": True},
        ),
        (
            {"reasoning_effort": "none", "chat_template_kwargs": {"enable_thinking": True}},
            {"reasoning_effort": "none", "enable_thinking": True},
        ),
        (
            {"reasoning_effort": "low", "chat_template_kwargs": {"reasoning_effort": "high"}},
            {"reasoning_effort": "high"},
        ),
        (
            {"enable_thinking": False, "chat_template_kwargs": {"enable_thinking": True, "x": 1}},
            {"enable_thinking": True, "x": 1},
        ),
    ],
)
def test_the_template_is_told_how_much_to_think(
    fields: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert command(**fields).template_kwargs == expected
    data = as_json({"messages": [USER], **fields})
    shown = to_render(data, ChatRequest.model_validate_json(data), "r")
    assert shown.template_kwargs == expected
    ready = to_prefill(data, RestoreCacheRequest.model_validate_json(data), "r")
    assert ready.template_kwargs == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, TIGHT),
        ({"reasoning_format": None, "reasoning_budget": None}, TIGHT),
        ({"reasoning_format": "auto"}, ReasoningParams(is_split=True, budget=100)),
        ({"reasoning_format": "deepseek"}, ReasoningParams(is_split=True, budget=100)),
        ({"reasoning_format": "none"}, TIGHT),
        ({"reasoning_budget": 5}, ReasoningParams(is_split=False, budget=5)),
        ({"reasoning_budget": 0}, ReasoningParams(is_split=False, budget=0)),
        ({"reasoning_budget": -1}, ReasoningParams(is_split=False, budget=None)),
        ({"reasoning_budget_tokens": 6}, ReasoningParams(is_split=False, budget=6)),
        ({"thinking_budget_tokens": 7}, ReasoningParams(is_split=False, budget=7)),
        (
            {"reasoning_budget": 5, "thinking_budget_tokens": 7},
            ReasoningParams(is_split=False, budget=5),
        ),
    ],
)
def test_what_becomes_of_thoughts_is_the_requests_choice_before_the_default(
    fields: dict[str, Any], expected: ReasoningParams
) -> None:
    assert command(reasoning=TIGHT, **fields).reasoning == expected


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"reasoning_format": "xml"}, "reasoning_format"),
        ({"reasoning_effort": ""}, "reasoning_effort"),
        ({"reasoning_effort": "x" * 33}, "reasoning_effort"),
        ({"reasoning_effort": 5}, "reasoning_effort"),
        ({"enable_thinking": "no"}, "enable_thinking"),
        ({"reasoning_budget": -2}, "reasoning_budget"),
        ({"reasoning_budget": 1.5}, "reasoning_budget"),
        ({"thinking_budget_tokens": True}, "thinking_budget_tokens"),
        ({"reasoning_budget_tokens": "8"}, "reasoning_budget_tokens"),
    ],
)
def test_a_wrong_value_is_refused_by_the_name_of_its_field(
    fields: dict[str, Any], param: str
) -> None:
    assert refusal(**fields).param == param
