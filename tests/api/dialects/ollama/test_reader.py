"""A request for an answer becomes one command, or names the field at fault as Ollama does."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.api.defaults import Defaults
from app.api.dialect import Ask
from app.api.dialects.ollama.reader import as_asked, chat_ask, generate_ask, read_body
from app.api.dialects.ollama.schemas import OllamaChatRequest, OllamaGenerateRequest
from app.errors import EngineDied, InvalidRequest, ModelNotFound
from app.protocol import Generate, RawPrompt, SamplingParams
from tests.api.requests import served

USER = {"role": "user", "content": "Hi"}
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


def asked_chat(**fields: Any) -> Ask:
    data = json.dumps({"model": "m", "messages": [USER], **fields}).encode()
    return chat_ask(read_body(data, OllamaChatRequest))


def asked_generate(**fields: Any) -> Ask:
    data = json.dumps({"model": "m", "prompt": "Hi", **fields}).encode()
    return generate_ask(read_body(data, OllamaGenerateRequest))


def command(ask: Ask) -> Generate:
    defaults = Defaults(sampling=SamplingParams(temperature=0.3), max_tokens=500)
    (found,) = ask.commands(served(defaults))
    return found


def chat(**fields: Any) -> Generate:
    return command(asked_chat(**fields))


def generate(**fields: Any) -> Generate:
    return command(asked_generate(**fields))


@pytest.mark.parametrize("data", [b"", b"  \n"])
def test_a_body_is_required(data: bytes) -> None:
    with pytest.raises(InvalidRequest, match="missing request body"):
        read_body(data, OllamaChatRequest)


@pytest.mark.parametrize("data", [b"{}", b'{"model":null}', b'{"model":""}'])
def test_a_model_is_required(data: bytes) -> None:
    with pytest.raises(InvalidRequest, match="model is required"):
        read_body(data, OllamaChatRequest)


@pytest.mark.parametrize("data", [b"{", b"[]", b"5", b"model=m"])
def test_a_body_that_is_no_object_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read_body(data, OllamaChatRequest)
    assert refused.value.param == "body"


def test_a_conversation_reaches_the_engine_as_openais() -> None:
    told = chat(
        messages=[
            {"role": "system", "content": "Be short."},
            USER,
            {"role": "assistant", "tool_calls": [{"function": {"name": "weather"}}]},
            {"role": "tool", "content": "sunny"},
        ],
        tools=[TOOL],
    )
    messages = json.loads(told.messages)
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "tool"]
    assert messages[3]["tool_call_id"] == messages[2]["tool_calls"][0]["id"]
    assert json.loads(told.tools) == [TOOL]
    assert (told.n, told.max_tokens, told.sampling.temperature) == (1, 500, 0.3)


def test_a_stream_is_the_default() -> None:
    assert asked_chat().stream
    assert not asked_chat(stream=False).stream
    assert asked_generate().stream


def test_options_reach_the_engine_and_no_window_loads_a_model() -> None:
    ask = asked_chat(options={"num_ctx": 131072, "num_predict": 7, "stop": ["x"], "top_k": 3})
    told = command(ask)
    assert (told.max_tokens, told.stop, told.sampling.top_k) == (7, ["x"], 3)
    assert (dict(ask.overrides), ask.model) == ({}, "m")


@pytest.mark.parametrize("limit", [-1, -2, 0])
def test_no_limit_is_none(limit: int) -> None:
    assert chat(options={"num_predict": limit}).max_tokens is None


@pytest.mark.parametrize("ask", [chat, generate])
def test_a_schema_is_enforced_as_far_as_it_can_be(ask: Any) -> None:
    schema = {"type": "object", "properties": {"c": {"type": "array", "uniqueItems": True}}}
    constraint = ask(format=schema).constraint
    assert json.loads(constraint.text) == schema
    assert (constraint.kind, constraint.is_strict) == ("json_schema", False)
    assert ask(format="json").constraint.text == '{"type":"object"}'
    assert ask(format="").constraint is None


@pytest.mark.parametrize("ask", [chat, generate])
def test_thinking_reaches_the_template(ask: Any) -> None:
    assert ask(think=True).template_kwargs == {"enable_thinking": True}
    assert ask(think=False).template_kwargs == {"enable_thinking": False}
    assert ask(think="low").template_kwargs == {
        "enable_thinking": True,
        "reasoning_effort": "low",
    }
    assert ask().template_kwargs == {}


@pytest.mark.parametrize("ask", [chat, generate])
def test_logprobs_are_asked_for(ask: Any) -> None:
    assert ask(logprobs=True, top_logprobs=3).n_logprobs == 3
    assert ask(logprobs=True).n_logprobs == 0
    assert ask(top_logprobs=3).n_logprobs is None


def test_a_tool_choice_is_honoured() -> None:
    assert chat(tools=[TOOL], tool_choice="required").tool_choice.is_required
    named = {"type": "function", "function": {"name": "weather"}}
    assert chat(tools=[TOOL], tool_choice=named).tool_choice.names == ["weather"]
    assert chat(tools=[TOOL], tool_choice="none").tools == b"[]"
    assert not chat(tools=[TOOL], tool_choice=None).tool_choice.is_required


@pytest.mark.parametrize("tools", [None, []])
def test_no_tools_are_none(tools: Any) -> None:
    assert chat(tools=tools).tools == b"[]"


def test_a_prompt_is_a_conversation_with_its_instructions() -> None:
    told = generate(system="Be short.")
    assert json.loads(told.messages) == [{"role": "system", "content": "Be short."}, USER]
    assert told.prompt is None
    assert json.loads(generate(system="").messages) == [USER]


def test_a_prompt_follows_the_tokens_of_earlier_ones_and_tells_its_own() -> None:
    told = generate(context=[1, 2])
    assert (told.context, told.echo, told.report_tokens) == ([1, 2], True, True)
    told = generate(context=[])
    assert (told.context, told.echo, told.report_tokens) == ([], True, True)
    assert not generate(raw=True).report_tokens
    assert not chat().report_tokens


def test_a_raw_prompt_is_used_as_it_is() -> None:
    told = generate(raw=True, options={"num_predict": 5, "stop": "x"}, logprobs=True)
    assert told.prompt == RawPrompt(text="Hi")
    assert (told.max_tokens, told.stop, told.n_logprobs) == (5, ["x"], 0)


def test_a_suffix_fills_the_middle_of_a_text() -> None:
    assert generate(suffix="z").prompt == RawPrompt(text="Hi", suffix="z")
    assert generate(suffix="z", prompt="").prompt == RawPrompt(text="", suffix="z")
    assert generate(suffix="", raw=False).prompt is None


CHAT: list[tuple[str, dict[str, Any]]] = [
    ("messages[0].role", {"messages": [{"role": "robot", "content": "Hi"}]}),
    ("options.top_p", {"options": {"top_p": 2}}),
    ("options.temperature", {"options": {"temperature": -1}}),
    ("options.top_k", {"options": {"top_k": "many"}}),
    ("options.stop[0]", {"options": {"stop": [5]}}),
    ("options.num_predict", {"options": {"num_predict": "all"}}),
    ("tools[0].function", {"tools": [{"type": "function"}]}),
    ("tools[1].function.name", {"tools": [TOOL, TOOL]}),
    ("tool_choice", {"tool_choice": "required"}),
    ("tool_choice", {"tools": [TOOL], "tool_choice": "sometimes"}),
    ("tool_choice", {"tools": [TOOL], "tool_choice": "required", "format": "json"}),
]
GENERATE: list[tuple[str, dict[str, Any]]] = [
    ("options.top_p", {"options": {"top_p": 2}}),
    ("options.top_p", {"options": {"top_p": 2}, "raw": True}),
    ("options.top_k", {"options": {"top_k": "many"}, "suffix": "x"}),
    ("raw", {"raw": True, "system": "Be short."}),
    ("raw", {"raw": True, "template": "{{ .Prompt }}"}),
    ("raw", {"raw": True, "context": [1]}),
    ("context", {"context": [1], "suffix": "x"}),
    ("template", {"template": "{{ .Prompt }}"}),
]


@pytest.mark.parametrize(("param", "fields"), CHAT)
def test_a_wrong_field_of_a_chat_is_named(param: str, fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as refused:
        chat(**fields)
    assert refused.value.param == param
    assert refused.value.message.startswith(f"{param}: ")


@pytest.mark.parametrize(("param", "fields"), GENERATE)
def test_a_wrong_field_of_a_prompt_is_named(param: str, fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as refused:
        generate(**fields)
    assert refused.value.param == param


CHAT_BODY = OllamaChatRequest(model="m")
GENERATE_BODY = OllamaGenerateRequest(model="m")


def test_an_unknown_model_is_told_in_ollamas_words() -> None:
    error = as_asked(ModelNotFound("Model 'm' not found; there is: x", param="model"), CHAT_BODY)
    assert str(error) == "model 'm' not found"


def test_a_model_that_cannot_insert_says_so() -> None:
    error = as_asked(InvalidRequest("no", param="suffix"), GENERATE_BODY)
    assert str(error) == '"m" does not support insert'


def test_an_engines_error_names_the_field_of_the_request() -> None:
    found = InvalidRequest("response_format: bad", param="response_format")
    assert str(as_asked(found, CHAT_BODY)) == "format: bad"
    for body, text in ((GENERATE_BODY, "prompt: bad"), (CHAT_BODY, "messages[0].content: bad")):
        found = InvalidRequest("messages[0].content: bad", param="messages[0].content")
        assert str(as_asked(found, body)) == text


def test_other_errors_stay_as_they_are() -> None:
    error = EngineDied("gone")
    assert as_asked(error, CHAT_BODY) is error


def test_the_answer_has_the_name_that_was_asked_for() -> None:
    ask = asked_chat()
    model = served()
    written = ask.writer(model, ask.commands(model))
    assert b'{"error"' in written.error(EngineDied("gone"))
    assert ask.reply_id.startswith("ollama-")
