"""A chat request's prompt, and its length, are told without an answer."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from app.api.dialects.chat_completions.template import apply_template, input_tokens
from app.errors import ContextOverflow, InvalidRequest
from app.protocol import CountTokens, Failed, Render, RequestEvent, Text, TokenCount
from tests.api.endpoints.handler_requests import request_to

MESSAGES = [{"role": "user", "content": "Hi"}]


class Engine:
    """Keeps the commands it is sent and answers each with `reply`."""

    def __init__(self, reply: RequestEvent) -> None:
        self.reply = reply
        self.commands: list[Any] = []

    async def ask(self, command: Any, request_id: str) -> RequestEvent:
        assert command.request_id == request_id
        self.commands.append(command)
        return self.reply


async def answer(handler: Any, engine: Engine, **body: Any) -> Any:
    async def use(_model: str | None, _overrides: dict[str, Any]) -> Any:
        return SimpleNamespace(engine=engine)

    service = SimpleNamespace(supervisor=SimpleNamespace(use=use))
    response = await handler(request_to(service, body))
    return json.loads(response.body)


async def test_the_prompt_is_the_engines() -> None:
    engine = Engine(Text(request_id="r", text="<user>Hi"))
    assert await answer(apply_template, engine, messages=MESSAGES) == {"prompt": "<user>Hi"}
    (command,) = engine.commands
    assert isinstance(command, Render)
    assert json.loads(command.messages) == MESSAGES


async def test_the_tokens_of_a_prompt_are_counted_with_its_tools() -> None:
    engine = Engine(TokenCount(request_id="r", n_tokens=7))
    tools = [{"type": "function", "function": {"name": "weather"}}]
    found = await answer(input_tokens, engine, messages=MESSAGES, tools=tools)
    assert found == {"input_tokens": 7, "object": "response.input_tokens"}
    (command,) = engine.commands
    assert isinstance(command, CountTokens)
    assert (json.loads(command.messages), json.loads(command.tools)) == (MESSAGES, tools)


@pytest.mark.parametrize("handler", [apply_template, input_tokens])
async def test_an_error_of_the_engine_is_raised(handler: Any) -> None:
    failed = Failed(request_id="r", kind="ContextOverflow", message="too long", requested=9)
    with pytest.raises(ContextOverflow, match="too long"):
        await answer(handler, Engine(failed), messages=MESSAGES)


@pytest.mark.parametrize("handler", [apply_template, input_tokens])
async def test_a_wrong_body_is_refused_before_the_engine_is_asked(handler: Any) -> None:
    engine = Engine(Text(request_id="r", text=""))
    with pytest.raises(InvalidRequest) as refused:
        await answer(handler, engine, messages="Hi")
    assert refused.value.param == "messages"
    assert engine.commands == []
