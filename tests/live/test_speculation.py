"""Guesses at what comes next change nothing but the time it takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.live.server import NANO, LiveServer

PROMPTS = Path(__file__).resolve().parents[1] / "data" / "nano_eval"


def answer(server: LiveServer, prompt: dict[str, Any], **more: Any) -> dict[str, Any]:
    body = {"model": NANO, "messages": prompt["messages"], "max_tokens": 300, **more}
    if "tools" in prompt:
        body["tools"] = prompt["tools"]
    message: dict[str, Any] = server.http.post("/chat/completions", json=body).json()["choices"][0][
        "message"
    ]
    for call in message.get("tool_calls") or ():
        del call["id"]
    return message


@pytest.mark.slow
@pytest.mark.parametrize("skill", ["stories", "unseen_tools", "chat"])
def test_greedy_answers_are_the_same_with_and_without_guesses(
    server: LiveServer, skill: str
) -> None:
    for prompt in json.loads((PROMPTS / f"{skill}.json").read_text())[:20]:
        with_guesses, without = (
            answer(server, prompt, temperature=0, speculate=speculate)
            for speculate in (True, False)
        )
        assert with_guesses == without


def test_a_repetition_penalty_sees_guessed_tokens_too(server: LiveServer) -> None:
    prompt = {"messages": [{"role": "user", "content": "Tell me a story."}]}
    options = {"temperature": 0, "repeat_penalty": 1.3, "repeat_last_n": 64}
    with_guesses, without = (
        answer(server, prompt, speculate=speculate, **options) for speculate in (True, False)
    )
    assert with_guesses == without
