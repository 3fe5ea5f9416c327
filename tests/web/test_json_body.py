"""A wrong body is refused with the name of the field at fault, as the client wrote it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import BaseModel

from app.api.dialects.completions.schemas import CompletionRequest
from app.api.schemas.chat import ChatRequest
from app.api.schemas.common import LoadModelConfigs
from app.api.schemas.sampling import InferenceConfigs
from app.api.schemas.service import DetokenizeRequest, SetModelRequest, TokenizeRequest
from app.errors import InvalidRequest
from app.web.json_body import json_response, parse, raw_fields

USER = {"role": "user", "content": "Hi"}


def refusal(body: Any, schema: type[BaseModel] = ChatRequest) -> InvalidRequest:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(InvalidRequest) as refused:
        parse(data, schema)
    return refused.value


def chat(**fields: Any) -> dict[str, Any]:
    return {"messages": [USER], **fields}


# ---------------------------------------------------------------- whole bodies


def test_a_right_body_is_returned_as_its_schema() -> None:
    body = parse(json.dumps(chat(temperature=1, max_tokens=5)).encode(), ChatRequest)
    given = body.model_dump(include={"temperature", "max_tokens"})
    assert given == {"temperature": 1.0, "max_tokens": 5}


def test_a_missing_body_is_asked_for() -> None:
    error = refusal(b"")
    assert error.param == "body"
    assert "JSON object" in error.message


@pytest.mark.parametrize("body", [b"{", b"no json", b'{"a":1}}', b'{"a":"\xff"}', b"\x00"])
def test_broken_json_is_called_that(body: bytes) -> None:
    error = refusal(body)
    assert (error.param, error.code) == ("body", "invalid_json")
    assert error.message.startswith("The request body is not valid JSON: ")


@pytest.mark.parametrize("body", [[], "text", 1, None, True])
def test_json_that_is_no_object_is_refused(body: Any) -> None:
    error = refusal(body)
    assert (error.param, error.message) == ("body", "The request body must be a JSON object")


WITHOUT_EFFECT: dict[str, Any] = {
    "user": "u",
    "metadata": {"a": "b"},
    "store": True,
    "service_tier": "auto",
    "safety_identifier": "s",
    "prompt_cache_key": "k",
    "prompt_cache_retention": "24h",
    "verbosity": "low",
    "modalities": ["text"],
    "audio": None,
    "prediction": {"type": "content", "content": "x"},
    "web_search_options": {},
    "functions": [],
    "function_call": None,
    "cache_prompt": True,
}


def test_what_has_no_effect_here_and_unknown_keys_at_the_top_are_ignored() -> None:
    body = parse(json.dumps(chat(**WITHOUT_EFFECT)).encode(), ChatRequest)
    assert body.plain_messages() == [USER]


def test_functions_of_old_are_told_of_tools() -> None:
    assert "use tools" in refusal(chat(functions=[{"name": "f"}])).message


# ---------------------------------------------------------------- fields


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "messages"),
        ({"messages": "Hi"}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": ["Hi"]}, "messages[0]"),
        ({"messages": [USER, {"content": "Hi"}]}, "messages[1].role"),
        ({"messages": [USER, {"role": "robot", "content": "Hi"}]}, "messages[1].role"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        (
            {"messages": [{"role": "user", "content": [{"text": "a"}]}]},
            "messages[0].content[0].type",
        ),
        (chat(temperature="hot"), "temperature"),
        (chat(temperature=-1), "temperature"),
        (chat(temperature=True), "temperature"),
        (chat(top_p=1.5), "top_p"),
        (chat(max_tokens=0), "max_tokens"),
        (chat(max_tokens=1.5), "max_tokens"),
        (chat(max_tokens=-2), "max_tokens"),
        (chat(max_completion_tokens=0), "max_completion_tokens"),
        (chat(n_predict=-2), "n_predict"),
        (chat(seed=-2), "seed"),
        (chat(repeat_last_n=-2), "repeat_last_n"),
        (chat(n=0), "n"),
        (chat(n=-1), "n"),
        (chat(n=17), "n"),
        (chat(n=10**30), "n"),
        (chat(n=True), "n"),
        (chat(return_progress="yes"), "return_progress"),
        (chat(logprobs="yes"), "logprobs"),
        (chat(logprobs=5), "logprobs"),
        (chat(top_logprobs=5), "top_logprobs"),
        (chat(logprobs=False, top_logprobs=5), "top_logprobs"),
        (chat(logprobs=True, top_logprobs=21), "top_logprobs"),
        (chat(logprobs=True, top_logprobs=-1), "top_logprobs"),
        (chat(mirostat=3), "mirostat"),
        (chat(mirostat_tau=-1), "mirostat_tau"),
        (chat(mirostat_eta=2), "mirostat_eta"),
        (chat(xtc_probability=1.1), "xtc_probability"),
        (chat(xtc_threshold=-0.1), "xtc_threshold"),
        (chat(top_n_sigma=-2), "top_n_sigma"),
        (chat(dry_multiplier=-1), "dry_multiplier"),
        (chat(dry_base=0.5), "dry_base"),
        (chat(dry_allowed_length=-1), "dry_allowed_length"),
        (chat(dry_penalty_last_n=1.5), "dry_penalty_last_n"),
        (chat(dry_penalty_last_n=-2), "dry_penalty_last_n"),
        (chat(dry_sequence_breakers=[]), "dry_sequence_breakers"),
        (chat(dry_sequence_breakers="ab"), "dry_sequence_breakers"),
        (chat(dry_sequence_breakers=["a" * 21]), "dry_sequence_breakers[0]"),
        (chat(dry_sequence_breakers=["a", ""]), "dry_sequence_breakers[1]"),
        (chat(dry_sequence_breakers=["a\x00b"]), "dry_sequence_breakers[0]"),
        (chat(dry_sequence_breakers=["a"] * 9), "dry_sequence_breakers"),
        (chat(dynatemp_range=-1), "dynatemp_range"),
        (chat(dynatemp_exponent="x"), "dynatemp_exponent"),
        (chat(ignore_eos=1), "ignore_eos"),
        (chat(repetition_penalty=0), "repetition_penalty"),
        (chat(inference_configs={"mirostat": 3}), "inference_configs.mirostat"),
        (chat(stop=5), "stop"),
        (chat(stop=""), "stop"),
        (chat(stop=["a", 5]), "stop[1]"),
        (chat(stop=["a", ""]), "stop[1]"),
        (chat(stop=["a"] * 17), "stop"),
        (chat(logit_bias={"5": 101}), "logit_bias.5"),
        (chat(stream="yes"), "stream"),
        (chat(modalities=["text", "audio"]), "modalities[1]"),
        (chat(audio={"voice": "alloy", "format": "wav"}), "audio"),
        (chat(functions=[{"name": "f"}]), "functions"),
        (chat(function_call="auto"), "function_call"),
        (chat(speculate="yes"), "speculate"),
        (chat(tools=[{"type": "function"}]), "tools[0].function"),
        (chat(tools=[{"type": "function", "function": {"name": "a b"}}]), "tools[0].function.name"),
        (chat(inference_configs={"top_k": -2}), "inference_configs.top_k"),
        (chat(inference_configs=5), "inference_configs"),
        (chat(load_model_configs={"n_ctx": "big"}), "load_model_configs.n_ctx"),
        (chat(load_model_configs={"type_k": "q9"}), "load_model_configs.type_k"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_field_at_fault_is_named_in_param_and_message(body: Any, param: str) -> None:
    error = refusal(body)
    assert error.param == param
    assert error.message.startswith(f"{param}: ")


def test_a_check_of_our_own_speaks_for_itself() -> None:
    error = refusal({"messages": "Hi"})
    assert error.message == "messages: must be a list of messages, each with role and content"


def test_the_names_of_types_never_appear_in_a_fields_name() -> None:
    error = refusal({"messages": [{"role": "user", "content": [{"type": "text", "text": 1}]}]})
    assert error.param == "messages[0].content[0].text"


def test_a_wrong_token_is_named_by_its_place() -> None:
    assert refusal({"tokens": [1, -1]}, DetokenizeRequest).param == "tokens[1]"
    assert refusal({"tokens": [2**31]}, DetokenizeRequest).param == "tokens[0]"


# ---------------------------------------------------------------- unknown keys


@pytest.mark.parametrize(
    ("place", "owner"),
    [("inference_configs", InferenceConfigs), ("load_model_configs", LoadModelConfigs)],
)
def test_an_unknown_key_is_named_with_the_valid_ones(place: str, owner: type[BaseModel]) -> None:
    error = refusal(chat(**{place: {"temprature": 1}}))
    assert (error.param, error.code) == (f"{place}.temprature", "unknown_parameter")
    assert error.message.startswith(f"Unknown key 'temprature' in {place}; valid keys: ")
    assert error.message.endswith(", ".join(sorted(owner.model_fields)))


def test_an_unknown_key_at_the_top_of_a_strict_body_is_named() -> None:
    error = refusal({"content": "a", "special": True}, TokenizeRequest)
    assert error.param == "special"
    valid = "add_special, content, parse_special, with_pieces"
    assert error.message == f"Unknown key 'special'; valid keys: {valid}"


def test_a_valid_key_is_listed_as_a_client_writes_it() -> None:
    error = refusal(chat(structured_outputs={"structural_tag": "x"}))
    assert error.param == "structured_outputs.structural_tag"
    assert error.message.endswith("valid keys: choice, grammar, json, regex")


def test_an_unknown_key_is_reported_before_a_wrong_value() -> None:
    error = refusal(chat(temperature=-1, inference_configs={"temprature": 1}))
    assert error.param == "inference_configs.temprature"


def test_the_device_clients_place_for_load_parameters_is_checked_alike() -> None:
    error = refusal({"model_name": "m", "inference_configs": {"nctx": 1}}, SetModelRequest)
    assert error.param == "inference_configs.nctx"
    assert "n_ctx" in error.message


# ---------------------------------------------------------------- text as it was sent


def test_a_field_can_be_had_as_the_client_wrote_it() -> None:
    body = b'{"a": {"x" : 1.0, "\\u00fc":[ ]},"b":"\xc3\xbc", "c" : null, "d": 5}'
    found = raw_fields(body, ("a", "b", "c", "e"))
    assert {name: bytes(text) for name, text in found.items()} == {
        "a": b'{"x" : 1.0, "\\u00fc":[ ]}',
        "b": b'"\xc3\xbc"',
        "c": b"null",
    }


def test_of_a_field_that_is_there_twice_the_last_one_counts_as_in_a_schema() -> None:
    body = b'{"content": "a", "content": "b"}'
    assert bytes(raw_fields(body, ("content",))["content"]) == b'"b"'
    assert parse(body, TokenizeRequest).content == "b"


@pytest.mark.parametrize("body", [b"{", b'{"a": NaN}', b"[]", b"[" * 100_000])
def test_text_of_what_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest) as refused:
        raw_fields(body, ("a",))
    assert (refused.value.param, refused.value.code) == ("body", "invalid_json")


# ---------------------------------------------------------------- responses


def test_a_json_response_carries_status_and_type() -> None:
    response = json_response({"a": "ö"}, status=503)
    assert (response.status, response.content_type) == (503, "application/json")
    assert json.loads(response.body or b"") == {"a": "ö"}


@pytest.mark.parametrize("half", ["\\ud83d", "\\uDE00", "\\ud83d\\ud83d"])
def test_half_a_surrogate_pair_is_read_as_a_replacement_character_anywhere(half: str) -> None:
    arguments = r'{"a": "\ud83d"}'
    body = chat(stop=["a X"], chat_template_kwargs={"X": ["X"]}, user="X")
    body["messages"] = [
        {"role": "user", "content": "X", "X": {"X": "X"}},
        {"role": "user", "content": [{"type": "text", "text": "X"}]},
        {
            "role": "assistant",
            "content": None,
            "reasoning_content": "X",
            "tool_calls": [
                {"id": "X", "function": {"name": "X", "arguments": arguments}},
                {"id": "X", "function": {"name": "X", "arguments": {"X": "X"}}},
            ],
        },
        {"role": "tool", "tool_call_id": "X", "content": "X"},
    ]
    schema = {"type": "object", "description": "X", "properties": {"X": {"enum": ["X"]}}}
    body["tools"] = [{"function": {"name": "f", "description": "X", "parameters": schema}}]
    wanted = {"name": "n", "schema": schema}
    body["response_format"] = {"type": "json_schema", "json_schema": wanted}
    found = parse(json.dumps(body).replace("X", half).encode(), ChatRequest)
    text = json.dumps(found.model_dump(), ensure_ascii=False)
    assert text.encode().decode() == text
    assert "\N{REPLACEMENT CHARACTER}" in text
    raw = parse(b'{"content": "%s"}' % half.encode(), TokenizeRequest)
    asked = parse(b'{"prompt": ["%s"], "suffix": "%s"}' % ((half.encode(),) * 2), CompletionRequest)
    assert raw.content.encode().decode() == raw.content
    assert asked.model_dump_json().encode()


def test_a_body_with_half_a_surrogate_pair_may_be_wrong_otherwise() -> None:
    assert refusal(b'{"messages": [{"role": "\\ud83d"}]}').param == "messages[0].role"
    assert refusal(b'{"messages": "\\ud83d').param == "body"
