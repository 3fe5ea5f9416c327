"""OpenAI's JSON becomes a command."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.api.chat.commands import to_generate, to_render
from app.api.chat.conversation import to_prefill
from app.api.defaults import Defaults
from app.api.dialects.chat_completions.reader import read
from app.api.schemas.chat import ChatRequest
from app.api.schemas.conversation import RestoreCacheRequest
from app.base.json_types import as_json
from app.errors import InvalidRequest
from app.protocol import Generate, Prefill, Render, SamplingParams, encode
from tests.api.requests import served
from tests.host.fake_engine import INFO

USER = {"role": "user", "content": "Hi"}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
DEFAULTS = SamplingParams(temperature=0.5, top_k=7, seed=3)


def command(*, default_max_tokens: int | None = None, **body: Any) -> Generate:
    defaults = Defaults(sampling=DEFAULTS, max_tokens=default_max_tokens)
    return generated(defaults, **body)


def generated(defaults: Defaults, **body: Any) -> Generate:
    data = json.dumps({"messages": [USER], **body}).encode()
    return to_generate(data, ChatRequest.model_validate_json(data), "r", served(defaults))


def rendered(**body: Any) -> Render:
    data = json.dumps(body).encode()
    return to_render(data, ChatRequest.model_validate_json(data), "r")


def prefilled(**body: Any) -> Prefill:
    data = json.dumps(body).encode()
    return to_prefill(data, RestoreCacheRequest.model_validate_json(data), "r")


def sampling(**body: Any) -> SamplingParams:
    return command(**body).sampling


# ---------------------------------------------------------------- requests


def test_a_request_that_names_no_values_gets_the_defaults() -> None:
    bare = command(default_max_tokens=50)
    assert bare.sampling == DEFAULTS
    assert (bare.max_tokens, bare.stop, bare.tools, bare.template_kwargs) == (50, [], b"[]", {})


def test_inference_configs_win_over_the_top_level_and_that_over_the_defaults() -> None:
    values = sampling(
        temperature=1.0, top_p=0.6, inference_configs={"temperature": 2.0, "min_p": 0.2}
    )
    assert (values.temperature, values.top_p, values.min_p, values.top_k) == (2.0, 0.6, 0.2, 7)


def test_zero_is_a_value_and_null_is_none() -> None:
    assert sampling(temperature=0).temperature == 0.0
    assert sampling(temperature=None).temperature == DEFAULTS.temperature
    assert sampling(top_p=0.6, inference_configs={"top_p": None}).top_p == 0.6
    assert sampling(seed=None).seed == 3


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", 1.25),
        ("top_p", 0.25),
        ("top_k", 3),
        ("min_p", 0.25),
        ("typical_p", 0.25),
        ("repeat_penalty", 1.25),
        ("repeat_last_n", 5),
        ("frequency_penalty", 0.25),
        ("presence_penalty", 0.25),
        ("top_n_sigma", 1.5),
        ("xtc_probability", 0.25),
        ("xtc_threshold", 0.25),
        ("dry_multiplier", 0.75),
        ("dry_base", 1.5),
        ("dry_allowed_length", 4),
        ("dry_penalty_last_n", 32),
        ("dry_sequence_breakers", ["\n", "¡"]),
        ("dynatemp_range", 0.25),
        ("dynatemp_exponent", 2.0),
        ("mirostat", 2),
        ("mirostat_tau", 4.0),
        ("mirostat_eta", 0.25),
        ("ignore_eos", True),
        ("seed", 5),
    ],
)
def test_each_sampling_value_can_be_given_in_both_places(name: str, value: Any) -> None:
    body: dict[str, Any] = {name: value}
    assert getattr(sampling(**body), name) == value
    assert getattr(sampling(inference_configs=body), name) == value


def test_repetition_penalty_is_another_name_of_repeat_penalty() -> None:
    assert sampling(repetition_penalty=1.5).repeat_penalty == 1.5
    assert sampling(inference_configs={"repetition_penalty": 1.5}).repeat_penalty == 1.5


def test_a_place_that_wins_does_so_under_either_name() -> None:
    top: dict[str, Any] = {"repetition_penalty": 1.5, "max_completion_tokens": 5}
    won = command(**top, inference_configs={"repeat_penalty": 1.25, "max_tokens": 6})
    assert (won.sampling.repeat_penalty, won.max_tokens) == (1.25, 6)
    top = {"repeat_penalty": 1.5, "max_tokens": 5}
    other = {"repetition_penalty": 1.25, "max_completion_tokens": 6}
    won = command(**top, inference_configs=other)
    assert (won.sampling.repeat_penalty, won.max_tokens) == (1.25, 6)


def test_max_tokens_is_limited_by_the_request_before_the_default() -> None:
    assert command(default_max_tokens=50, max_tokens=5).max_tokens == 5
    assert command(default_max_tokens=50, max_completion_tokens=6).max_tokens == 6
    assert command(default_max_tokens=50, n_predict=7).max_tokens == 7
    assert command().max_tokens is None


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens", "n_predict"])
def test_minus_one_is_no_limit_whatever_the_default(name: str) -> None:
    body: dict[str, Any] = {name: -1}
    assert command(default_max_tokens=50, **body).max_tokens is None
    assert command(default_max_tokens=50, inference_configs=body).max_tokens is None


@pytest.mark.parametrize("name", ["repeat_last_n", "dry_penalty_last_n"])
def test_minus_one_looks_back_on_the_whole_context(name: str) -> None:
    body: dict[str, Any] = {name: -1}
    assert getattr(sampling(**body), name) == INFO.n_ctx
    assert getattr(sampling(inference_configs=body), name) == INFO.n_ctx


def test_a_seed_of_minus_one_is_a_random_one_whatever_the_default() -> None:
    assert sampling(seed=-1).seed is None
    assert sampling(inference_configs={"seed": -1}).seed is None


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"stop": "user:"}, ["user:"]),
        ({"stop": ["a", "b"]}, ["a", "b"]),
        ({"stop": []}, []),
        ({"stop": None}, []),
        ({"stop": "a", "inference_configs": {"stop": ["user:"]}}, ["user:"]),
        ({"stop": "a", "inference_configs": {"stop": []}}, []),
        ({"stop": "a", "inference_configs": {}}, ["a"]),
    ],
)
def test_stop_strings_come_alone_or_as_a_list(body: dict[str, Any], expected: list[str]) -> None:
    assert command(**body).stop == expected


@given(st.integers(0, 2**63 - 1))
def test_a_seed_is_folded_to_what_llama_cpp_takes(seed: int) -> None:
    folded = sampling(seed=seed).seed
    assert folded is not None
    assert 0 <= folded < 2**31
    if seed < 2**31:
        assert folded == seed


def test_seeds_that_differ_only_in_their_high_bits_stay_different() -> None:
    assert sampling(seed=1).seed != sampling(seed=1 + 2**40).seed


def test_a_default_seed_is_folded_as_well() -> None:
    random_in_llama_cpp = SamplingParams(seed=2**32 - 1)
    defaults = Defaults(sampling=random_in_llama_cpp)
    made = generated(defaults)
    assert made.sampling.seed is not None
    assert made.sampling.seed < 2**31


def test_logit_bias_names_token_ids() -> None:
    assert sampling(logit_bias={"0": -100, "99": 1.5}).logit_bias == {0: -100.0, 99: 1.5}


@pytest.mark.parametrize(
    "key",
    [
        "100",
        "-1",
        "1.0",
        "a",
        "",
        " 1",
        "9" * 5000,
    ],
)
def test_a_logit_bias_for_what_is_no_token_is_refused(key: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        command(logit_bias={key: 1})
    assert refused.value.param == "logit_bias"
    assert "ids range from 0 to 99" in refused.value.message


def test_messages_and_tools_reach_the_engine_as_they_were_sent() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "weather", "arguments": {"a": 1}}}
    messages = [
        USER | {"custom": [1, {"x": None}]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "rain", "tool_call_id": "c"},
    ]
    made = command(messages=messages, tools=[TOOL], chat_template_kwargs={"thinking": False})
    assert json.loads(made.messages) == messages
    assert json.loads(made.tools) == [TOOL]
    assert made.template_kwargs == {"thinking": False}


def test_a_number_that_no_message_to_the_engine_can_carry_is_the_clients_mistake() -> None:
    with pytest.raises((InvalidRequest, ValidationError)):
        encode(command(chat_template_kwargs={"n": 10**30}))


def test_tokens_are_guessed_ahead_unless_the_request_or_the_default_says_no() -> None:
    off = Defaults(sampling=DEFAULTS, speculate=False)
    assert not generated(off, speculate=None).speculate
    assert generated(off, speculate=True).speculate
    assert command().speculate
    assert not command(speculate=False).speculate


def test_one_answer_is_wanted_unless_more_are_asked_for() -> None:
    assert (command().n, command(n=None).n, command(n=3).n) == (1, 1, 3)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"return_progress": True, "stream": True}, True),
        ({"return_progress": True}, False),
        ({"return_progress": False, "stream": True}, False),
        ({"stream": True}, False),
    ],
)
def test_progress_is_reported_to_streams_that_ask_for_it(
    body: dict[str, Any], expected: bool
) -> None:
    assert command(**body).report_progress is expected


@pytest.mark.parametrize("value", [True, False, None])
def test_the_cache_is_explained_to_those_who_ask(value: bool | None) -> None:
    assert command(explain_cache=value).explain_cache is bool(value)
    assert command().explain_cache is False


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, None),
        ({"logprobs": None}, None),
        ({"logprobs": False, "top_logprobs": None}, None),
        ({"logprobs": False, "top_logprobs": 0}, None),
        ({"logprobs": True}, 0),
        ({"logprobs": True, "top_logprobs": 0}, 0),
        ({"logprobs": True, "top_logprobs": 20}, 20),
    ],
)
def test_logprobs_are_computed_for_those_who_ask(
    body: dict[str, Any], expected: int | None
) -> None:
    assert command(**body).n_logprobs == expected


def test_the_prompt_to_show_is_the_one_that_a_chat_has() -> None:
    fields: dict[str, Any] = {"tools": [TOOL], "chat_template_kwargs": {"thinking": False}}
    for choice in ("auto", "none"):
        shown = rendered(messages=[USER], tool_choice=choice, **fields)
        chat = command(tool_choice=choice, **fields)
        assert (shown.messages, shown.tools) == (chat.messages, chat.tools)
        assert shown.template_kwargs == chat.template_kwargs


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, "opened"),
        ({"add_generation_prompt": True, "continue_final_message": False}, "opened"),
        ({"add_generation_prompt": False}, "closed"),
        ({"continue_final_message": True}, "continued"),
        ({"continue_final_message": "content"}, "continued_content"),
        ({"continue_final_message": "reasoning"}, "continued_reasoning"),
        ({"continue_final_message": "reasoning_content"}, "continued_reasoning"),
        ({"continue_final_message": None}, "opened"),
        ({"continue_final_message": True, "add_generation_prompt": False}, "continued"),
    ],
)
def test_a_client_says_where_the_prompt_ends(fields: dict[str, Any], expected: str) -> None:
    body = {"messages": [USER, {"role": "assistant", "content": "Hel"}], **fields}
    assert command(**body).prompt_end == expected
    assert rendered(**body).prompt_end == expected
    assert prefilled(**body).prompt_end == expected


CALL = {"id": "1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}


@pytest.mark.parametrize(
    ("last", "fields", "param"),
    [
        ({"role": "user", "content": "Hi"}, {}, "messages"),
        ({"role": "assistant", "content": "", "tool_calls": [CALL]}, {}, "messages"),
        (
            {"role": "assistant", "content": "Hel"},
            {"add_generation_prompt": True},
            "continue_final_message",
        ),
    ],
)
def test_what_cannot_be_continued_is_refused(
    last: dict[str, Any], fields: dict[str, Any], param: str
) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        command(messages=[USER, last], continue_final_message=True, **fields)
    assert refusal.value.param == param


@pytest.mark.parametrize("value", ["thoughts", "", 1, ["content"], {}])
def test_what_is_no_part_of_a_message_cannot_be_continued(value: Any) -> None:
    last = {"role": "assistant", "content": "Hel"}
    with pytest.raises(InvalidRequest, match='"content" or "reasoning"') as refusal:
        read(as_json({"messages": [USER, last], "continue_final_message": value}), {})
    assert refusal.value.param == "continue_final_message"


def test_tool_choice_none_hides_the_tools() -> None:
    assert command(tools=[TOOL], tool_choice="none").tools == b"[]"
    assert json.loads(command(tools=[TOOL], tool_choice="auto").tools) == [TOOL]


def test_a_prompt_to_be_kept_ready_is_the_one_that_a_chat_will_have() -> None:
    body: dict[str, Any] = {
        "messages": [USER],
        "tools": [TOOL],
        "chat_template_kwargs": {"thinking": False},
    }
    ready = prefilled(**body)
    chat = command(**body)
    assert (ready.messages, ready.tools, ready.template_kwargs) == (
        chat.messages,
        chat.tools,
        chat.template_kwargs,
    )
