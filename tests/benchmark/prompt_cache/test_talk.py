"""What a prompt shares with anything computed before is known, the rest is new."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from scripts.benchmark.http_client import HttpClient
from scripts.benchmark.prompt_cache.talk import Asked, Renderer, Talk, Talker
from scripts.benchmark.streamed import Streamed


class Letters(Renderer):
    """Stands for the server's rendering: a token a character."""

    def __init__(self, prompt: str = "") -> None:
        self._prompt = prompt

    def prompt(self, messages: Sequence[dict[str, Any]], tools: Sequence[Any]) -> list[int]:
        turns = [f"[{each['role'][0]}{each['content']}]" for each in messages]
        return self.text(self._prompt or "".join(turns))

    def text(self, text: str) -> list[int]:
        return [ord(letter) for letter in text]


@dataclass
class NoServer:
    client: HttpClient = field(default_factory=lambda: HttpClient("http://127.0.0.1:1"))

    def pids(self) -> list[int]:
        return []


def answered(n_prompt: int, n_cached: int, text: str = "123", thought: str = "") -> Streamed:
    usage = {"prompt_tokens": n_prompt, "prompt_tokens_details": {"cached_tokens": n_cached}}
    delta = {"content": text} | ({"reasoning_content": thought} if thought else {})
    events: list[tuple[float, dict[str, Any]]] = [
        (1.5, {"choices": [{"delta": delta}]}),
        (2.0, {"choices": [{"delta": {}, "finish_reason": "stop"}], "timings": {"restore_ms": 4}}),
        (2.0, {"choices": [], "usage": usage}),
    ]
    return Streamed(1.0, events)


def counted(talker: Talker, question: str, n_cached: int, **more: str) -> Asked:
    messages = [{"role": "user", "content": question}]
    return talker.counted(messages, (), answered(len(question) + 3, n_cached, **more))


def test_a_first_prompt_is_new_and_the_same_again_is_known_but_for_its_last_token() -> None:
    talker = Talker(NoServer(), Letters())
    first = counted(talker, "abcdef", 0)
    assert (first.n_known, first.n_new, first.n_again, first.n_missed) == (0, 9, 9, 0)
    again = counted(talker, "abcdef", 5)
    assert (again.n_known, again.n_new, again.n_again, again.n_missed) == (8, 1, 4, 3)
    assert (again.ttft_ms, again.restore_ms, str(again)) == (500.0, 4.0, "5/9")


def test_an_edited_prompt_is_known_up_to_the_first_difference() -> None:
    talker = Talker(NoServer(), Letters())
    counted(talker, "abcdef", 0)
    counted(talker, "abxyz", 0)
    assert counted(talker, "abxdef", 0).n_known == 5


def test_more_cached_than_known_is_nothing_missed() -> None:
    talker = Talker(NoServer(), Letters())
    assert counted(talker, "abc", 6).n_missed == 0


def test_what_was_generated_is_known_too() -> None:
    talker = Talker(NoServer(), Letters())
    counted(talker, "ab", 0, text="7")
    messages = [{"role": "user", "content": "ab"}, {"role": "assistant", "content": ""}]
    talker.reach(NoServer(), Letters("[uab]7 and so on"))
    assert talker.counted(messages, (), answered(16, 0)).n_known == len("[uab]7")


def test_a_thought_goes_back_with_the_history() -> None:
    talker = Talker(NoServer(), Letters())
    reply = counted(talker, "ab", 0, text="7", thought="6").reply
    assert reply == {"role": "assistant", "content": "7", "reasoning_content": "6"}


def test_a_called_tool_stands_in_the_history_with_its_result() -> None:
    class Recording(Talker):
        def ask(self, messages: Any, tools: Any = (), **_: Any) -> Asked:
            return counted(self, json.dumps(messages), 0)

    talk = Talk(Recording(NoServer(), Letters()), "system")
    assert len(talk.call("Set it.", "lamps", {"value": 1}, "done")) == 2
    assert [each["role"] for each in talk.messages] == [
        *("system", "user", "assistant", "tool", "assistant")
    ]
    call = talk.messages[2]["tool_calls"][0]
    assert json.loads(call["function"]["arguments"]) == {"value": 1}
    assert talk.messages[3]["tool_call_id"] == call["id"]
