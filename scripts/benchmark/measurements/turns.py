"""Owns how much of a conversation with tools is prefilled again, turn by turn, small model."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

from scripts.benchmark.chat import CHAT_PATH
from scripts.benchmark.console import say
from scripts.benchmark.http_client import HttpClient
from scripts.benchmark.plan import Plan
from scripts.benchmark.results import Result, Target

_N_TURNS = 20
_ANSWER_TOKENS = 32
_TARGET = Target(16, of="ours")
_PLACES = ("France", "Spain", "Italy", "Japan", "Egypt", "Peru", "Norway", "Kenya")
_COLORS = ("red", "green", "blue", "white", "yellow")
_REQUESTS = ("What is the capital of {place}?", "Turn the LED {color}.", "Tell me about {place}.")
_LED = {
    "type": "function",
    "function": {
        "name": "set_led",
        "description": "Set the color of the LED.",
        "parameters": {
            "type": "object",
            "properties": {"color": {"type": "string", "description": "Color"}},
            "required": ["color"],
        },
    },
}

Message = dict[str, Any]


def measure(plan: Plan) -> list[Result]:
    """Hold a conversation in each repeat; a sample is the worst turn of one.

    The client writes the JSON of calls in its own way, as clients do.
    """
    samples: list[float] = []
    n_calls = n_requests = 0
    with plan.small_server() as server:
        for repeat in range(plan.n_repeats):
            talk = Conversation()
            for text in _requests(random.Random(repeat)):
                talk.say(server.client, text)
            samples.append(max(talk.missed))
            n_calls += talk.n_calls
            n_requests += len(talk.missed)
            say(f"turns {repeat + 1}/{plan.n_repeats}: {samples[-1]:.0f} tokens, {talk.missed}")
    note = (
        f"tokens of the turn before that were prefilled again, at most; {n_requests} requests "
        f"with {n_calls} tool calls, {_N_TURNS} turns a conversation, {plan.small_model.name}"
    )
    return [Result("turns", "tokens", samples, _TARGET, notes=[note])]


class Conversation:
    """A conversation as a client holds it, that runs the calls and sends their results.

    Attributes:
        missed: for each request, how many tokens of the one before and its answer were not cached.
        n_calls: tool calls so far.
    """

    def __init__(self) -> None:
        self.messages: list[Message] = [{"role": "system", "content": "Be helpful."}]
        self.missed: list[int] = []
        self.n_calls = 0
        self._n_history = 0

    def say(self, client: HttpClient, text: str) -> None:
        """Take one turn: a request, and where tools were called another one with the results."""
        self.messages.append({"role": "user", "content": text})
        if self._answered(client):
            self._answered(client)

    def _answered(self, client: HttpClient) -> bool:
        body = {"messages": self.messages, "tools": [_LED], "max_tokens": _ANSWER_TOKENS}
        return self.take(client.post(CHAT_PATH, body | {"temperature": 0}))

    def take(self, answer: dict[str, Any]) -> bool:
        """Take an answer into the history; return whether there are results to send."""
        usage = answer["usage"]
        n_cached = usage["prompt_tokens_details"]["cached_tokens"]
        self.missed.append(max(0, self._n_history - n_cached))
        self._n_history = usage["total_tokens"]
        message = rewritten(answer["choices"][0]["message"])
        self.messages.append(message)
        calls = message.get("tool_calls") or []
        for call in calls:
            result = {"role": "tool", "tool_call_id": call["id"], "content": '{"ok": true}'}
            self.messages.append(result)
        self.n_calls += len(calls)
        return bool(calls)


def rewritten(message: Message) -> Message:
    """Return a message with the arguments of its calls in other words, which mean the same."""
    calls = []
    for call in message.get("tool_calls") or []:
        function = call["function"]
        calls.append(call | {"function": function | {"arguments": _spread(function["arguments"])}})
    return message | ({"tool_calls": calls} if calls else {})


def _spread(json_text: str) -> str:
    try:
        return json.dumps(json.loads(json_text), indent=2)
    except ValueError:  # cut off, or never was any
        return json_text


def _requests(dice: random.Random) -> Iterator[str]:
    for turn in range(_N_TURNS):
        request = _REQUESTS[turn % len(_REQUESTS)]
        yield request.format(place=dice.choice(_PLACES), color=dice.choice(_COLORS))
