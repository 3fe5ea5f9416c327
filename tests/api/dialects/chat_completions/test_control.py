"""A client ends the reasoning of its own answer while that is generated."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from app.api.dialects.chat_completions.control import control
from app.api.streaming.running_answers import RunningAnswers
from app.errors import InvalidRequest
from app.protocol import EndReasoning
from tests.api.endpoints.handler_requests import request_to
from tests.api.requests import command


class Engine:
    """Keeps the commands it is told."""

    def __init__(self, *, is_alive: bool = True) -> None:
        self.is_alive = is_alive
        self.commands: list[Any] = []

    def tell(self, command: Any) -> None:
        self.commands.append(command)


async def answer(engine: Engine, *, key: str | None = None, **body: Any) -> Any:
    """Return the reply to a client while the answer `chatcmpl-1` of the key `ann` is generated."""
    answers = RunningAnswers()
    supervisor = SimpleNamespace(loaded=[SimpleNamespace(engine=engine)])
    service = SimpleNamespace(supervisor=supervisor, running_answers=answers)
    request = request_to(service, body, ctx=SimpleNamespace(key_name=key, facts={}))
    with answers.note("chatcmpl-1", "ann", [command()]):
        response = await control(request)
    assert response.status == 200
    return json.loads(response.body or b"")


async def test_the_engine_is_told_to_end_the_reasoning() -> None:
    engine = Engine()
    found = await answer(engine, key="ann", id="chatcmpl-1", action="reasoning_end")
    assert found == {"success": True}
    assert engine.commands == [EndReasoning(request_id=command().request_id)]


@pytest.mark.parametrize(("key", "reply_id"), [("ann", "chatcmpl-2"), (None, "chatcmpl-1")])
async def test_an_answer_that_is_unknown_or_of_another_client_is_none(
    key: str | None, reply_id: str
) -> None:
    engine = Engine()
    found = await answer(engine, key=key, id=reply_id, action="reasoning_end")
    assert not found["success"]
    assert found["message"]
    assert engine.commands == []


async def test_without_an_engine_nothing_is_ended() -> None:
    engine = Engine(is_alive=False)
    found = await answer(engine, key="ann", id="chatcmpl-1", action="reasoning_end")
    assert not found["success"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"action": "reasoning_end"}, "id"),
        ({"id": "", "action": "reasoning_end"}, "id"),
        ({"id": "chatcmpl-1"}, "action"),
        ({"id": "chatcmpl-1", "action": "stop"}, "action"),
        ({"id": 5, "action": "reasoning_end"}, "id"),
    ],
)
async def test_a_wrong_body_is_refused(body: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await answer(Engine(), key="ann", **body)
    assert refused.value.param == param
