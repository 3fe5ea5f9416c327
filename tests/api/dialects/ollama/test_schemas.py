"""Requests of Ollama's clients are read leniently; what cannot be is refused by name."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from app.api.dialects.ollama.schemas import (
    OllamaChatRequest,
    OllamaFields,
    OllamaGenerateRequest,
)
from app.web.validation import explain

USER = {"role": "user", "content": "Hi"}


def refused_param(schema: type[BaseModel], fields: dict[str, Any]) -> str | None:
    with pytest.raises(ValidationError) as refused:
        schema.model_validate(fields)
    error = explain(refused.value, schema)
    assert error.message.startswith(f"{error.param}: ")
    return error.param


@pytest.mark.parametrize("schema", [OllamaChatRequest, OllamaGenerateRequest])
def test_every_field_may_be_null_or_missing(schema: type[OllamaFields]) -> None:
    names = list(schema.model_fields)
    assert schema.model_validate({}).streams
    assert schema.model_validate(dict.fromkeys(names)).model_dump() == schema().model_dump()


def test_unknown_fields_are_ignored() -> None:
    assert OllamaChatRequest.model_validate({"model": "m", "_debug": {"a": 1}}).model == "m"


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (True, True),
        (False, False),
        ("low", "low"),
        ("HIGH", "high"),
        ("max", "max"),
        ("true", True),
        ("false", False),
        ("none", False),
        ("", None),
    ],
)
def test_thinking_is_a_switch_or_an_effort(given: Any, read: Any) -> None:
    think = OllamaFields.model_validate({"think": given}).think
    assert (type(think), think) == (type(read), read)


def test_keep_alive_is_read_into_seconds() -> None:
    assert OllamaFields.model_validate({"keep_alive": "5m"}).keep_alive == 300
    assert OllamaFields.model_validate({"keep_alive": -1.0}).keep_alive == -1
    assert OllamaFields.model_validate({"keep_alive": 0.0}).is_unload
    assert not OllamaFields.model_validate({}).is_unload


@pytest.mark.parametrize("images", [None, [], ""])
def test_no_images_are_fine(images: Any) -> None:
    assert OllamaGenerateRequest.model_validate({"images": images}).images is None


COMMON: list[tuple[str, dict[str, Any]]] = [
    ("model", {"model": 5}),
    ("model", {"model": "a" * 256}),
    ("stream", {"stream": "yes"}),
    ("stream", {"stream": 1}),
    ("format", {"format": "yaml"}),
    ("format", {"format": 5}),
    ("format", {"format": ["json"]}),
    ("format", {"format": {"enum": ["a" * 200_000]}}),
    ("options", {"options": []}),
    ("options", {"options": "top_k"}),
    ("think", {"think": "very"}),
    ("think", {"think": 5}),
    ("think", {"think": []}),
    ("keep_alive", {"keep_alive": True}),
    ("keep_alive", {"keep_alive": "soon"}),
    ("keep_alive", {"keep_alive": {}}),
    ("logprobs", {"logprobs": 1}),
    ("top_logprobs", {"top_logprobs": 21}),
    ("top_logprobs", {"top_logprobs": -1}),
]
CHAT: list[tuple[str, dict[str, Any]]] = [
    ("messages", {"messages": "Hi"}),
    ("messages", {"messages": {}}),
    ("messages[0]", {"messages": ["Hi"]}),
    ("messages[0].role", {"messages": [{"content": "Hi"}]}),
    ("messages[0].role", {"messages": [{"role": 5}]}),
    ("messages[0].content", {"messages": [{"role": "user", "content": 5}]}),
    ("messages[0].content", {"messages": [{"role": "user", "content": [{"type": "text"}]}]}),
    ("messages[1].images", {"messages": [USER, {**USER, "images": ["iVBORw0KGgo="]}]}),
    ("messages[0].tool_calls", {"messages": [{"role": "assistant", "tool_calls": {}}]}),
    (
        "messages[0].tool_calls[0].function",
        {"messages": [{"role": "assistant", "tool_calls": [{"name": "f"}]}]},
    ),
    (
        "messages[0].tool_calls[0].function.arguments",
        {
            "messages": [
                {
                    "role": "assistant",
                    "tool_calls": [{"function": {"name": "f", "arguments": [1]}}],
                }
            ]
        },
    ),
    ("tools", {"tools": {}}),
    ("tools[0]", {"tools": ["f"]}),
]
GENERATE: list[tuple[str, dict[str, Any]]] = [
    ("prompt", {"prompt": 5}),
    ("prompt", {"prompt": ["Hi"]}),
    ("suffix", {"suffix": 5}),
    ("system", {"system": 5}),
    ("context", {"context": "abc"}),
    ("context[1]", {"context": [1, -1]}),
    ("raw", {"raw": "yes"}),
    ("images", {"images": ["iVBORw0KGgo="]}),
]


@pytest.mark.parametrize(("param", "fields"), [*COMMON, *CHAT])
def test_a_wrong_field_of_a_chat_is_named(param: str, fields: dict[str, Any]) -> None:
    assert refused_param(OllamaChatRequest, fields) == param


@pytest.mark.parametrize(("param", "fields"), [*COMMON, *GENERATE])
def test_a_wrong_field_of_a_prompt_is_named(param: str, fields: dict[str, Any]) -> None:
    assert refused_param(OllamaGenerateRequest, fields) == param
