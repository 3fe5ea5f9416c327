"""A request becomes a command, as if it were a chat request; wrong ones name their field.

It covers `app.api.dialects.responses.schemas`.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from app.api.defaults import Defaults
from app.api.dialects.responses.reader import ask_of, param_of, reading_of, refuse_unknown
from app.api.dialects.responses.tools import Toolbox
from app.errors import InvalidRequest
from app.protocol import Constraint, Generate, ReasoningParams, SamplingParams
from tests.api.requests import served

LIGHT = {"type": "function", "name": "light", "parameters": {"type": "object"}}
SPACE = {"type": "namespace", "name": "home", "tools": [LIGHT]}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}


def command(*, defaults: Defaults | None = None, **fields: Any) -> Generate:
    ask = ask_of(reading_of(json.dumps({"input": "Hi", **fields}).encode()))
    (found,) = ask.commands(served(defaults))
    return found


def messages(**fields: Any) -> Any:
    return json.loads(command(**fields).messages)


def form(**fields: Any) -> Constraint | None:
    return command(text={"format": fields}).constraint


# ---------------------------------------------------------------- requests


def test_a_text_is_a_message_of_the_user() -> None:
    assert messages() == [{"role": "user", "content": "Hi"}]
    assert messages(instructions="Be brief.")[0] == {"role": "system", "content": "Be brief."}


@pytest.mark.parametrize("empty", ["", []])
def test_an_empty_input_is_an_empty_message(empty: Any) -> None:
    assert messages(input=empty) == [{"role": "user", "content": ""}]


def test_earlier_items_come_first_but_after_the_instructions() -> None:
    reading = reading_of(b'{"input": "c", "instructions": "a", "previous_response_id": "resp_1"}')
    ask = ask_of(reading, history=[{"role": "user", "content": "b"}])
    (found,) = ask.commands(served())
    assert [each["content"] for each in json.loads(found.messages)] == ["a", "b", "c"]


def test_each_answer_has_an_id_of_its_own_that_nobody_can_guess() -> None:
    reading = reading_of(b'{"input": "Hi"}')
    first, second = ask_of(reading).reply_id, ask_of(reading).reply_id
    assert first != second
    assert first.startswith("resp_")
    assert len(first) > 40


def test_sampling_and_limits_are_as_asked() -> None:
    found = command(max_output_tokens=7, temperature=0.5, top_p=1, seed=3, stop="x")
    assert (found.max_tokens, found.stop) == (7, ["x"])
    sampling = found.sampling
    assert (sampling.temperature, sampling.top_p, sampling.seed) == (0.5, 1.0, 3)


def test_null_is_as_good_as_nothing() -> None:
    names = "instructions max_output_tokens temperature top_p tools tool_choice text reasoning"
    more = "include store metadata user truncation parallel_tool_calls top_logprobs stream model"
    null = dict.fromkeys((*names.split(), *more.split()))
    without = msgspec.structs.replace(command(), request_id="r")
    assert msgspec.structs.replace(command(**null), request_id="r") == without
    empty: dict[str, Any] = {
        "instructions": "",
        "previous_response_id": "",
        "tools": [],
        "include": [],
        "user": "",
    }
    empty |= {"text": {}, "reasoning": {"effort": ""}, "metadata": {}, "stop": []}
    assert msgspec.structs.replace(command(**empty), request_id="r") == without


def test_fields_that_mean_nothing_here_are_ignored() -> None:
    command(client_metadata={"a": 1}, prompt_cache_retention="24h", service_tier="flex")


def test_the_effort_reaches_the_template() -> None:
    assert command(reasoning={"effort": "low"}).template_kwargs == {"reasoning_effort": "low"}
    kwargs = command(reasoning={"effort": "none"}).template_kwargs
    assert kwargs["enable_thinking"] is False


def test_thoughts_are_items_whatever_the_settings_say() -> None:
    unsplit = Defaults(sampling=SamplingParams(), reasoning=ReasoningParams(is_split=False))
    assert command(defaults=unsplit).reasoning.is_split


@pytest.mark.parametrize(
    ("fields", "n_logprobs"),
    [
        ({}, None),
        ({"top_logprobs": 0}, None),
        ({"top_logprobs": 3}, 3),
        ({"include": ["message.output_text.logprobs"]}, 0),
        ({"include": ["message.output_text.logprobs", "new"], "top_logprobs": 2}, 2),
    ],
)
def test_logprobs_are_computed_for_who_asks(fields: Any, n_logprobs: int | None) -> None:
    assert command(**fields).n_logprobs == n_logprobs


# ---------------------------------------------------------------- forms


def test_the_form_of_the_text_is_enforced() -> None:
    found = form(type="json_schema", name="A", schema=SCHEMA)
    assert found is not None
    assert (found.kind, json.loads(found.text), found.is_strict) == ("json_schema", SCHEMA, False)
    strict = form(type="json_schema", name="A", schema=SCHEMA, strict=True)
    assert strict is not None
    assert strict.is_strict
    assert form(type="json_object") is not None
    assert form(type="text") is None


def test_calls_that_are_required_have_no_text_to_hold_to_a_form() -> None:
    text = {"format": {"type": "json_schema", "schema": SCHEMA}}
    named = {"type": "function", "name": "light"}
    for choice in (
        "required",
        named,
        {"type": "allowed_tools", "mode": "required", "tools": [named]},
    ):
        found = command(tools=[LIGHT], tool_choice=choice, text=text)
        assert found.constraint is None
        assert found.tool_choice.is_required
    assert command(tools=[LIGHT], tool_choice="auto", text=text).constraint is not None


# ---------------------------------------------------------------- tools


def test_tools_are_offered_and_chosen_by_the_names_that_the_model_knows() -> None:
    chosen = {"type": "function", "name": "light", "namespace": "home"}
    found = command(tools=[SPACE, {"type": "web_search"}], tool_choice=chosen)
    (tool,) = json.loads(found.tools)
    assert tool["function"]["name"] == "home__light"
    assert found.tool_choice.names == ["home__light"]


def test_tools_that_run_elsewhere_leave_none() -> None:
    assert command(tools=[{"type": "web_search"}], tool_choice="auto").tools == b"[]"
    assert command(tools=[LIGHT], tool_choice="none").tools == b"[]"


def test_one_call_at_a_time_is_one() -> None:
    assert not command(tools=[LIGHT], parallel_tool_calls=False).tool_choice.parallel
    assert command(tools=[LIGHT]).tool_choice.parallel


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": None}, "input"),
        ({"input": 3}, "input"),
        ({"input": {"role": "user"}}, "input"),
        ({"input": ["Hi"]}, "input[0]"),
        ({"input": [{"role": "user"}] * 20_000}, "input"),
        ({"input": [{"role": "user"}] * 5000}, "input"),
        ({"model": 3}, "model"),
        ({"model": ""}, "model"),
        ({"instructions": 3}, "instructions"),
        ({"stream": "yes"}, "stream"),
        ({"max_output_tokens": "7"}, "max_output_tokens"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": -1}, "temperature"),
        ({"top_p": 7}, "top_p"),
        ({"top_logprobs": 21}, "top_logprobs"),
        ({"include": "x"}, "include"),
        ({"tools": {}}, "tools"),
        ({"tools": ["x"]}, "tools[0]"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"tools": [{"type": "custom"}]}, "tools[0].name"),
        ({"tools": [{"type": "function", "name": "a b"}]}, "tools[0].name"),
        ({"tools": [{"type": "web_search"}, {**LIGHT, "parameters": []}]}, "tools[1].parameters"),
        ({"tools": [{**SPACE, "tools": [{"type": "function"}]}]}, "tools[0].tools[0].name"),
        ({"tools": [LIGHT, LIGHT]}, "tools[1].name"),
        ({"tools": [LIGHT] * 600}, "tools"),
        ({"tool_choice": 3}, "tool_choice"),
        ({"tool_choice": "any"}, "tool_choice"),
        ({"tool_choice": {}}, "tool_choice"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": {"type": "function", "name": "x"}}, "tool_choice"),
        ({"tool_choice": {"type": "web_search"}}, "tool_choice"),
        ({"tools": [LIGHT], "tool_choice": {"type": "function"}}, "tool_choice"),
        ({"reasoning": "high"}, "reasoning"),
        ({"reasoning": {"effort": 3}}, "reasoning.effort"),
        ({"reasoning": {"effort": "x" * 33}}, "reasoning.effort"),
        ({"previous_response_id": 3}, "previous_response_id"),
        ({"text": {"format": {}}}, "text.format.type"),
        ({"text": {"format": {"type": "json_schema"}}}, "text.format.schema"),
        ({"text": {"format": {"type": "json_schema", "schema": 3}}}, "text.format.schema"),
        ({"truncation": "middle"}, "truncation"),
        ({"metadata": "x"}, "metadata"),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(fields: Any, param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        command(**fields)
    assert refused.value.param == param
    assert refused.value.message.startswith(f"{param}: ")


@pytest.mark.parametrize("field", ["conversation", "prompt"])
def test_references_to_what_is_not_kept_are_refused(field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        refuse_unknown(reading_of(json.dumps({"input": "Hi", field: "x_1"}).encode()).body)
    assert refused.value.param == field


@pytest.mark.parametrize(
    ("chat", "param"),
    [
        ("messages", "input"),
        ("messages[3].content", "input"),
        ("max_tokens", "max_output_tokens"),
        ("tools[0].function.parameters", "tools[1].tools[0].parameters"),
        ("tools[7].function", "tools[7].function"),
        ("response_format", "text.format"),
        ("response_format.json_schema.schema", "text.format.schema"),
        ("temperature", "temperature"),
    ],
)
def test_fields_of_the_chat_request_have_names_here(chat: str, param: str) -> None:
    assert param_of(chat, Toolbox([{"type": "web_search"}, SPACE])) == param
