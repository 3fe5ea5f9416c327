"""Conversations that others pushed out of the KV cache go on where they were."""

from __future__ import annotations

from typing import Any

import pytest

from tests.live.server import LiveServer, user

COUNTRIES = ["France", "Spain", "Italy", "Japan", "Germany", "Greece", "Egypt", "Norway"]
RULES = "You are a helpful assistant. Keep your answers short and clear. Be polite at all times."


def ask(live: LiveServer, messages: list[dict[str, Any]]) -> dict[str, Any]:
    body = {"messages": messages, "temperature": 0, "max_tokens": 24}
    answer: dict[str, Any] = live.http.post("/v1/chat/completions", json=body).json()
    return answer


@pytest.mark.parametrize("parallel", ["1", "3"])
def test_many_conversations_in_turn_are_all_remembered(parallel: str) -> None:
    with LiveServer("--parallel", parallel) as live:
        live.wait_healthy()
        talks = {}
        for name in COUNTRIES:
            first = [
                {"role": "system", "content": f"{RULES} The guest likes {name}."},
                user(f"What is the capital of {name}?"),
            ]
            reply = ask(live, first)
            talks[name] = (first, reply)
        metrics = live.http.get("/metrics").text
        assert "distiller_llm_idle_cache_bytes 0.0" not in metrics
        for name, (first, reply) in talks.items():
            said = reply["choices"][0]["message"]
            messages = [*first, said, user("And of France?")]
            second = ask(live, messages)
            cached = second["usage"]["prompt_tokens_details"]["cached_tokens"]
            assert cached >= reply["usage"]["prompt_tokens"], f"{name} was forgotten"
            assert "Paris" in second["choices"][0]["message"]["content"]


def test_without_memory_for_them_they_are_prefilled_again() -> None:
    with LiveServer("--parallel", "1", "--idle-cache-mb", "0") as live:
        live.wait_healthy()
        prompt = [user("What is the capital of France?")]
        ask(live, prompt)
        ask(live, [user("Tell me a story.")])
        again = ask(live, prompt)
        shared = again["usage"]["prompt_tokens_details"]["cached_tokens"]
        assert shared < again["usage"]["prompt_tokens"] - 2
        assert "Paris" in again["choices"][0]["message"]["content"]


def test_an_answer_is_repeatable_whatever_was_asked_in_between() -> None:
    prompts = ["Tell me a story.", "Tell me a story about a dog.", "Hello, who are you?"]
    with LiveServer("--parallel", "4") as live:
        live.wait_healthy()

        def answers(**sampling: Any) -> list[str]:
            bodies = [{"messages": [user(prompt)], **sampling} for prompt in prompts]
            replies = [live.http.post("/v1/chat/completions", json=body).json() for body in bodies]
            return [reply["choices"][0]["message"]["content"] for reply in replies]

        greedy, seeded = {"temperature": 0}, {"temperature": 0.9, "seed": 11}
        first = answers(**greedy), answers(**seeded)
        assert (answers(**greedy), answers(**seeded)) == first
