"""`/tokenize` and `/detokenize` send a command to the engine and return its reply."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from app.api.endpoints.tokens import detokenize, tokenize
from app.errors import ContextOverflow, DistillerError, InvalidRequest
from app.protocol import Detokenize, Failed, RequestEvent, Text, TokenIds, Tokenize
from tests.api.endpoints.handler_requests import request_to


class Engine:
    """Keeps the commands it is sent and answers each with `reply`."""

    def __init__(self, reply: RequestEvent) -> None:
        self.reply = reply
        self.commands: list[Any] = []

    async def ask(self, command: Any, request_id: str) -> RequestEvent:
        assert command.request_id == request_id
        self.commands.append(command)
        return self.reply


def service(engine: Engine) -> Any:
    async def use(_model: str | None, _overrides: dict[str, Any]) -> Any:
        return SimpleNamespace(engine=engine)

    return SimpleNamespace(supervisor=SimpleNamespace(use=use))


async def answer(handler: Any, engine: Engine, **body: Any) -> Any:
    response = await handler(request_to(service(engine), body))
    return json.loads(response.body)


async def test_text_becomes_token_ids() -> None:
    engine = Engine(TokenIds(request_id="r", tokens=[5, 6]))
    assert await answer(tokenize, engine, content="Hi") == {"tokens": [5, 6]}
    (command,) = engine.commands
    assert isinstance(command, Tokenize)
    assert (command.text, command.add_special, command.parse_special) == ("Hi", False, True)


async def test_options_reach_the_engine() -> None:
    engine = Engine(TokenIds(request_id="r", tokens=[]))
    await answer(tokenize, engine, content="", add_special=True, parse_special=False)
    (command,) = engine.commands
    assert (command.add_special, command.parse_special) == (True, False)


async def test_a_piece_that_is_part_of_a_character_is_a_list_of_bytes() -> None:
    engine = Engine(TokenIds(request_id="r", tokens=[5, 6], pieces=["ü".encode(), b"\xc3"]))
    assert await answer(tokenize, engine, content="ü", with_pieces=True) == {
        "tokens": [{"id": 5, "piece": "ü"}, {"id": 6, "piece": [0xC3]}]
    }
    assert engine.commands[0].with_pieces


async def test_token_ids_become_text() -> None:
    engine = Engine(Text(request_id="r", text="Hi"))
    assert await answer(detokenize, engine, tokens=[5, 6]) == {"content": "Hi"}
    (command,) = engine.commands
    assert isinstance(command, Detokenize)
    assert command.tokens == [5, 6]


@pytest.mark.parametrize(
    ("handler", "body"), [(tokenize, {"content": "Hi"}), (detokenize, {"tokens": [5]})]
)
async def test_an_error_of_the_engine_is_raised(handler: Any, body: dict[str, Any]) -> None:
    failed = Failed(request_id="r", kind=ContextOverflow.__name__, message="too long")
    with pytest.raises(DistillerError, match="too long"):
        await answer(handler, Engine(failed), **body)


@pytest.mark.parametrize(
    ("handler", "body", "param"),
    [
        (tokenize, {}, "content"),
        (tokenize, {"content": 5}, "content"),
        (tokenize, {"content": "Hi", "text": "Hi"}, "text"),
        (detokenize, {"tokens": [-1]}, "tokens[0]"),
        (detokenize, {"tokens": [2**31]}, "tokens[0]"),
    ],
)
async def test_a_wrong_body_is_refused_before_the_engine_is_asked(
    handler: Any, body: dict[str, Any], param: str
) -> None:
    engine = Engine(TokenIds(request_id="r", tokens=[]))
    with pytest.raises(InvalidRequest) as refused:
        await answer(handler, engine, **body)
    assert refused.value.param == param
    assert engine.commands == []
