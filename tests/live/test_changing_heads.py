"""A clock in the instructions is told in the log, `/health` and `/cache`, until it has gone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from app.api.schemas.cache import CacheResponse
from app.api.schemas.service import HealthResponse
from tests.live.server import LiveServer, user

RULES = "You are a helpful assistant. " + " ".join(
    f"Rule {number}: be polite to guest number {number}." for number in range(12)
)
TIMES = ["18:03:04", "18:03:51", "18:07:20", "19:30:00", "20:00:07"]


@pytest.fixture
def live() -> Iterator[LiveServer]:
    with LiveServer("--disk-cache-mb", "0") as server:
        yield server.wait_healthy()


def ask(live: LiveServer, system: str, question: str = "What is the capital of France?") -> None:
    body = {"messages": [{"role": "system", "content": system}, user(question)], "max_tokens": 2}
    assert live.http.post("/v1/chat/completions", json=body).status_code == 200


def hints(live: LiveServer) -> list[str]:
    return HealthResponse.model_validate(live.health, strict=True).hints


def heads(live: LiveServer) -> list[dict[str, Any]]:
    body = live.http.get("/cache").json()
    CacheResponse.model_validate(body, strict=True)
    found: list[dict[str, Any]] = body["changing_heads"]
    return found


def lines(live: LiveServer) -> list[dict[str, Any]]:
    return [line for line in live.log("engine_log") if line["source"] == "prompt cache"]


def test_a_clock_in_the_first_line_is_told_until_it_has_gone(live: LiveServer) -> None:
    assert (hints(live), heads(live)) == ([], [])
    for time in TIMES:
        ask(live, f"The current time is {time}. {RULES}")
    (head,) = heads(live)
    assert (head["kind"], head["places"]) == ("time", 1)
    assert head["values"] == TIMES[-3:]
    assert head["before"].endswith("The current time is")
    assert 100 < head["tokens"] <= head["head_tokens"] + 30
    assert head["seconds"] > 0
    live.wait_until(lambda: hints(live) == [head["message"]])
    (line,) = lines(live)
    assert line["level"] == "warning"
    assert line["text"].partition(":")[0] == head["message"].partition(":")[0]
    assert re.search(r"a time of day.*[0-9]+ tokens.* s[.] .*GET /cache", head["message"])
    assert live.health["warnings"] == []
    for _ in range(10):
        ask(live, f"{RULES} The current time is 20:01:00.")
    assert heads(live) == []
    live.wait_until(lambda: hints(live) == [])
    live.wait_until(lambda: [line["level"] for line in lines(live)] == ["warning", "info"])
    assert not any("current time" in text or "18:03:51" in text for text in live.raw)


def test_questions_of_two_clients_are_no_hint(live: LiveServer) -> None:
    for number in range(5):
        ask(live, RULES, f"What is {number} plus {number}?")
        ask(live, f"You are a pirate. {RULES}", f"What is {number} minus {number}?")
    assert (hints(live), heads(live), lines(live)) == ([], [], [])
