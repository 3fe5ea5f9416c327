"""Every official client, unchanged, gets answers, calls and objects, whole and streamed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.clients.environment import Tell
from tests.clients.roster import CLIENTS, Client

pytestmark = pytest.mark.timeout(300)
CALLED = [["set_led", {"color": "green"}]]
# How each API says that an answer ended by itself, and that it called.
ENDED = {"stop", "end_turn", "completed"}
CALLS_END = {"tool_calls", "tool_use", "completed", "stop"}


def having(step: str) -> list[Any]:
    """Return the clients that have a step."""
    return [
        pytest.param(client, id=client.name.replace(" ", "_"))
        for client in CLIENTS
        if step in client.steps
    ]


def result(tell: Tell, client: Client, step: str) -> dict[str, Any]:
    """Return what a client received in one of the steps that all have."""
    found: dict[str, Any] = tell(client.program, client.dialect).result(client.steps[step])
    return found


@pytest.mark.parametrize("client", having("chat"))
def test_it_gets_an_answer(tell: Tell, client: Client) -> None:
    answer = result(tell, client, "chat")
    assert "Paris" in answer["text"]
    assert answer["calls"] == []
    assert answer["end"] in ENDED
    prompt, generated = answer["tokens"]
    assert prompt > 0
    assert generated > 0


@pytest.mark.parametrize("client", having("chat_streamed"))
def test_a_streamed_answer_is_the_whole_one(tell: Tell, client: Client) -> None:
    streamed, whole = (result(tell, client, step) for step in ("chat_streamed", "chat"))
    assert streamed["text"] == whole["text"]
    assert streamed["end"] in ENDED
    assert streamed.get("sum_of_deltas", streamed["text"]) == whole["text"]
    assert streamed.get("in_order", True)


@pytest.mark.parametrize("client", having("tool"))
def test_it_gets_a_call_with_its_arguments(tell: Tell, client: Client) -> None:
    answer = result(tell, client, "tool")
    assert answer["calls"] == CALLED
    assert answer["text"] == ""
    assert answer["end"] in CALLS_END


@pytest.mark.parametrize("client", having("tool_streamed"))
def test_a_streamed_call_is_the_whole_one(tell: Tell, client: Client) -> None:
    answer = result(tell, client, "tool_streamed")
    assert answer["calls"] == CALLED
    assert answer["text"] == ""
    assert answer["end"] in CALLS_END
    assert answer.get("in_order", True)


def is_city(answer: dict[str, Any]) -> bool:
    """Return whether an answer is an object of the schema that was asked for."""
    found = answer.get("object") or json.loads(answer["text"])
    return (
        set(found) == {"city", "capital"}
        and found["city"] in ("Paris", "Rome")
        and found["capital"] in (True, False)
    )


@pytest.mark.parametrize("client", having("schema"))
def test_it_gets_an_object_of_its_schema(tell: Tell, client: Client) -> None:
    assert is_city(result(tell, client, "schema"))


@pytest.mark.parametrize("client", having("schema_streamed"))
def test_it_gets_a_streamed_object_of_its_schema(tell: Tell, client: Client) -> None:
    assert is_city(result(tell, client, "schema_streamed"))
