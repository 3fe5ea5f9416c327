"""Anthropic's fields as OpenAI's; `app.api.dialects.anthropic.schemas` says what they are."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.api.defaults import Defaults
from app.api.dialects.anthropic.reader import ask_of
from app.protocol import ReasoningParams, SamplingParams, ToolChoice
from tests.api.dialects.anthropic.anthropic_requests import (
    SIGNER,
    TOOL,
    body_of,
    chat_of,
    command_of,
    data_of,
    refusal,
)
from tests.api.requests import served

SEARCH = {"type": "web_search_20250305", "name": "web_search", "max_uses": 5}
OTHER = {**TOOL, "name": "other", "type": "custom", "cache_control": {"type": "ephemeral"}}
SCHEMA = {"type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"]}
FORM = {"type": "json_schema", "schema": SCHEMA}

# ---------------------------------------------------------------- tools


def test_tools_are_functions_and_marks_do_not_reach_them() -> None:
    (first, second) = chat_of(tools=[TOOL, OTHER])["tools"]
    assert first["function"] == {
        "name": "get_weather",
        "description": "Weather of a city",
        "parameters": TOOL["input_schema"],
    }
    assert second["function"].keys() == first["function"].keys()
    assert chat_of(tools=[{**TOOL, "strict": True}])["tools"][0]["function"]["strict"] is True


@pytest.mark.parametrize("tools", [None, [], [SEARCH]])
def test_without_tools_that_the_client_runs_none_are_offered(tools: Any) -> None:
    chat = chat_of(tools=tools, tool_choice={"type": "auto"})
    assert not chat.keys() & {"tools", "tool_choice"}


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (None, ToolChoice()),
        ({"type": "auto"}, ToolChoice()),
        ({"type": "any"}, ToolChoice(is_required=True)),
        ({"type": "tool", "name": "other"}, ToolChoice(is_required=True, names=["other"])),
        ({"type": "none"}, ToolChoice()),
        (
            {"type": "any", "disable_parallel_tool_use": True},
            ToolChoice(is_required=True, parallel=False),
        ),
        ({"type": "auto", "disable_parallel_tool_use": None}, ToolChoice()),
    ],
)
def test_a_choice_of_tools_is_kept(choice: Any, expected: ToolChoice) -> None:
    command = command_of(tools=[TOOL, OTHER], tool_choice=choice)
    assert command.tool_choice == expected
    n_offered = 0 if choice == {"type": "none"} else 2
    assert len(json.loads(command.tools)) == n_offered


# ---------------------------------------------------------------- reasoning


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, {"enable_thinking": False}),
        ({"thinking": None}, {"enable_thinking": False}),
        ({"thinking": {"type": "disabled"}}, {"enable_thinking": False}),
        ({"thinking": {"type": "adaptive", "display": "omitted"}}, {}),
        ({"thinking": {"type": "between_tools"}}, {}),
        ({"thinking": {"type": "enabled", "budget_tokens": 9}}, {"enable_thinking": True}),
        ({"thinking": {"type": "enabled"}}, {"enable_thinking": True}),
        (
            {"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}},
            {"reasoning_effort": "high"},
        ),
        (
            {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}},
            {"reasoning_effort": "low"},
        ),
    ],
)
def test_reasoning_is_off_unless_it_is_asked_for(
    fields: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert command_of(**fields).template_kwargs == expected


def test_reasoning_has_blocks_of_its_own_whatever_the_setting() -> None:
    defaults = Defaults(sampling=SamplingParams(), reasoning=ReasoningParams(is_split=False))
    ask, _ = ask_of(body_of(data_of()), SIGNER, "r")
    (command,) = ask.commands(served(defaults))
    assert command.reasoning.is_split


def test_reasoning_has_its_budget() -> None:
    command = command_of(thinking={"type": "enabled", "budget_tokens": 1024})
    assert command.reasoning == ReasoningParams(budget=1024)
    assert command_of(thinking={"type": "adaptive"}).reasoning == ReasoningParams()


# ---------------------------------------------------------------- form and sampling


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"output_config": {"format": FORM, "effort": None}}, "output_config.format.schema"),
        ({"output_format": FORM}, "output_format.schema"),
    ],
)
def test_a_schema_is_enforced_under_its_own_name(fields: dict[str, Any], param: str) -> None:
    constraint = command_of(**fields).constraint
    assert constraint is not None
    assert json.loads(constraint.text) == SCHEMA
    assert (constraint.kind, constraint.param, constraint.is_strict) == ("json_schema", param, True)


def test_a_required_call_leaves_no_text_to_hold_to_a_form() -> None:
    form = {"format": FORM}
    command = command_of(output_config=form, tools=[TOOL], tool_choice={"type": "any"})
    assert (command.constraint, command.tool_choice.is_required) == (None, True)
    command = command_of(output_config=form, tools=[TOOL], tool_choice={"type": "auto"})
    assert command.constraint is not None


def test_sampling_has_anthropics_names() -> None:
    command = command_of(
        max_tokens=128_000, temperature=1, top_p=0.5, top_k=7, stop_sequences=["END"], min_p=0.1
    )
    assert (command.max_tokens, command.stop) == (128_000, ["END"])
    sampling = command.sampling
    assert (sampling.temperature, sampling.top_p, sampling.top_k) == (1.0, 0.5, 7)
    assert sampling.min_p == 0.1
    assert command_of(stop_sequences=[], max_tokens=None, temperature=None).stop == []


def test_more_tokens_than_any_model_has_are_the_most_that_can_be_asked_for() -> None:
    assert command_of(max_tokens=2**40).max_tokens == 2**24


def test_no_tokens_prefill_the_prompt() -> None:
    assert command_of(max_tokens=0).max_tokens == 1


def test_what_means_nothing_here_is_taken() -> None:
    command_of(
        metadata={"user_id": "x"},
        service_tier="auto",
        context_management={"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        mcp_servers=[{"type": "url"}],
        container="c",
        cache_control={"type": "ephemeral"},
        betas=["x"],
        speed="fast",
        unheard_of={"a": 1},
    )


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": ""}, "model"),
        ({"model": 5}, "model"),
        ({"system": 5}, "system"),
        ({"system": [{"type": "image"}]}, "system[0]"),
        ({"system": [{"type": "text"}]}, "system[0].text"),
        ({"stream": "yes"}, "stream"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"max_tokens": -2}, "max_tokens"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": -1}, "temperature"),
        ({"top_p": 2}, "top_p"),
        ({"top_k": "x"}, "top_k"),
        ({"stop_sequences": "END"}, "stop_sequences"),
        ({"stop_sequences": [""]}, "stop_sequences[0]"),
        ({"stop_sequences": ["x"] * 17}, "stop_sequences"),
        ({"tools": {}}, "tools"),
        ({"tools": [5]}, "tools[0]"),
        ({"tools": [{"description": "x"}]}, "tools[0].name"),
        ({"tools": [SEARCH, {"name": "a b"}]}, "tools[1].name"),
        ({"tools": [SEARCH, TOOL, TOOL]}, "tools[2].name"),
        ({"tools": [SEARCH, {**TOOL, "input_schema": 5}]}, "tools[1].input_schema"),
        (
            {"tools": [SEARCH, {**TOOL, "input_schema": {"type": "string"}}]},
            "tools[1].input_schema",
        ),
        ({"tool_choice": "auto"}, "tool_choice"),
        ({"tool_choice": {"type": "some"}}, "tool_choice.type"),
        ({"tool_choice": {"type": "tool"}}, "tool_choice.name"),
        ({"tool_choice": {"type": "any"}}, "tool_choice"),
        ({"tool_choice": {"type": "tool", "name": "x"}, "tools": [TOOL]}, "tool_choice.name"),
        (
            {"tool_choice": {"type": "tool", "name": "web_search"}, "tools": [TOOL, SEARCH]},
            "tool_choice.name",
        ),
        ({"thinking": "on"}, "thinking"),
        ({"thinking": {"type": "maybe"}}, "thinking.type"),
        ({"thinking": {"type": "enabled", "budget_tokens": -1}}, "thinking.budget_tokens"),
        ({"output_config": {"effort": 5}}, "output_config.effort"),
        ({"output_config": {"effort": "x" * 40}}, "output_config.effort"),
        ({"output_config": {"format": {"type": "xml"}}}, "output_config.format.type"),
        ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema"),
        ({"thread": {"type": "end"}}, "thread.type"),
    ],
)
def test_a_wrong_field_is_named(fields: dict[str, Any], param: str) -> None:
    assert refusal(**fields).param == param
