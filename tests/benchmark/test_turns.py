"""A conversation with tools notes what was not cached, and writes calls in its own way."""

from __future__ import annotations

import json
from typing import Any

from scripts.benchmark.measurements.turns import Conversation, rewritten


def answer(prompt: int, cached: int, generated: int, *arguments: str) -> dict[str, Any]:
    calls = [
        {"id": f"call_{number}", "function": {"name": "set_led", "arguments": text}}
        for number, text in enumerate(arguments)
    ]
    return {
        "choices": [{"message": {"role": "assistant", "content": None, "tool_calls": calls}}],
        "usage": {
            "prompt_tokens_details": {"cached_tokens": cached},
            "prompt_tokens": prompt,
            "total_tokens": prompt + generated,
        },
    }


def test_what_was_missed_is_counted_against_the_request_before_and_its_answer() -> None:
    talk = Conversation()
    for each in (answer(50, 30, 10), answer(80, 59, 5), answer(100, 40, 5)):
        talk.take(each)
    assert talk.missed == [0, 1, 45]


def test_each_call_gets_a_result() -> None:
    talk = Conversation()
    assert talk.take(answer(50, 0, 10, '{"color":"red"}', '{"color":"blue"}'))
    assert not talk.take(answer(80, 59, 5))
    roles = [message["role"] for message in talk.messages]
    assert roles == ["system", "assistant", "tool", "tool", "assistant"]
    assert [message["tool_call_id"] for message in talk.messages[2:4]] == ["call_0", "call_1"]
    assert talk.n_calls == 2


def test_a_call_means_the_same_in_other_words() -> None:
    before = answer(1, 0, 1, '{"color":"red"}')["choices"][0]["message"]
    after = rewritten(before)["tool_calls"][0]["function"]["arguments"]
    assert after != before["tool_calls"][0]["function"]["arguments"] == '{"color":"red"}'
    assert json.loads(after) == {"color": "red"}


def test_what_is_no_json_stays_as_it_is() -> None:
    message = answer(1, 0, 1, '{"color":"re')["choices"][0]["message"]
    assert rewritten(message) == message
    plain = {"role": "assistant", "content": "Yes."}
    assert rewritten(plain) == plain
