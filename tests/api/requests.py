"""Owns chat requests for tests: what becomes of one, and how a wrong one is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.api.chat.commands import to_generate
from app.api.defaults import Defaults
from app.api.dialect import ServedModel
from app.api.schemas.chat import ChatRequest
from app.errors import InvalidRequest
from app.protocol import Generate, ReasoningParams, SamplingParams
from app.web.json_body import parse
from tests.host.fake_engine import INFO

USER = {"role": "user", "content": "Hi"}


def read(**fields: Any) -> ChatRequest:
    """Return a chat request as it is read from its JSON."""
    body = json.dumps({"messages": [USER], **fields}).encode()
    return parse(body, ChatRequest)


def command(*, reasoning: ReasoningParams | None = None, **fields: Any) -> Generate:
    """Return what the engine is told to do for a chat request."""
    defaults = Defaults(sampling=SamplingParams(), reasoning=reasoning or ReasoningParams())
    data = json.dumps({"messages": [USER], **fields}).encode()
    return to_generate(data, parse(data, ChatRequest), "r", served(defaults))


def served(defaults: Defaults | None = None) -> ServedModel:
    """Return the model that requests are read for."""
    return ServedModel("m.gguf", INFO, defaults or Defaults(sampling=SamplingParams()))


def refusal(**fields: Any) -> InvalidRequest:
    """Return how a chat request is refused; the message begins with the field."""
    with pytest.raises(InvalidRequest) as refused:
        read(**fields)
    error = refused.value
    assert error.message.startswith(f"{error.param}: ")
    return error
