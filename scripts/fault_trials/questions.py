"""Owns questions with one right answer, so that an answer given in company can be told to be wrong.

In company, matrix products and attention sum in another order. Where two tokens are nearly as
likely as each other, that may turn a greedy answer. So only questions are asked where none are, or
only the beginning of an answer counts that is before any such place.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from scripts.cache_trials.talk import Head, Talk, make_head, words
from scripts.fault_trials.target import CHAT

_PROMPTS = Path(__file__).resolve().parents[2] / "tests" / "data" / "nano_eval"
_SKILLS = ("capitals", "chat", "known_tools", "no_tool", "tool_result")
_PER_SKILL = 12
_LEAST_MARGIN = 1.0
_MOST_TOKENS = 64
_N_HEADS = 6
_N_TALKS = 3
_N_TURNS = 3
_HEAD_WORDS = 100
_SHORT_TOKENS = 8
_SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 20}, "sure": {"const": True}},
    "required": ["city", "sure"],
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class Question:
    """A request, and what it is answered when nobody else asks.

    Args:
        body: the request, without whether it is streamed.
        answer: what `said` returns of it.
    """

    body: dict[str, Any]
    answer: str


def questions(client: httpx.Client) -> list[Question]:
    """Return questions whose answers are beyond doubt, with those of the model that serves."""
    return [question for body in _bodies() if (question := _asked(client, body)) is not None]


@dataclass
class Talks:
    """Conversations whose answers begin in one way with each model.

    Attributes:
        bodies: the requests; many begin alike.
        begins: by model, how the answer to each of them begins; empty where that is in doubt.
    """

    bodies: list[dict[str, Any]]
    begins: dict[str, list[str]] = field(default_factory=dict)

    def learn(self, client: httpx.Client, model: str) -> None:
        """Ask the model that serves for its answers."""
        self.begins[model] = [_beginning(client, body) for body in self.bodies]


def talks(seed: int) -> Talks:
    """Return conversations of random words, of which each turn is a request."""
    dice = random.Random(f"talks/{seed}")
    heads = [make_head(dice, _HEAD_WORDS) for _ in range(_N_HEADS)]
    return Talks([body for head in heads for _ in range(_N_TALKS) for body in _turns(dice, head)])


def _turns(dice: random.Random, head: Head) -> Iterator[dict[str, Any]]:
    talk = Talk(head)
    for _ in range(_N_TURNS):
        talk.say(words(dice, dice.randint(4, 12)))
        # What a model thinks counts too, so it stays in the text.
        options = {"max_tokens": _SHORT_TOKENS, "reasoning_format": "none", "ignore_eos": True}
        yield {"messages": talk.messages, "temperature": 0, **options}
        talk.add({"role": "assistant", "content": str(dice.randrange(10**6))})


def _beginning(client: httpx.Client, body: dict[str, Any]) -> str:
    choice = _likeliest(client, body)
    text = ""
    for entry in choice["logprobs"]["content"]:
        if _is_in_doubt(entry):
            break
        text += entry["token"]
    return text


def said(message: dict[str, Any]) -> str:
    """Return what an answer says; the ids of calls are left out, they are drawn."""
    calls = message.get("tool_calls") or []
    return json.dumps([message.get("content"), [call["function"] for call in calls]])


def _bodies() -> Iterator[dict[str, Any]]:
    for skill in _SKILLS:
        for prompt in json.loads((_PROMPTS / f"{skill}.json").read_text())[:_PER_SKILL]:
            body = {"messages": prompt["messages"], "temperature": 0, "max_tokens": _MOST_TOKENS}
            yield body | ({"tools": prompt["tools"]} if "tools" in prompt else {})
            if skill == "capitals":
                schema = {"name": "place", "schema": _SCHEMA, "strict": True}
                yield body | {"response_format": {"type": "json_schema", "json_schema": schema}}


def _asked(client: httpx.Client, body: dict[str, Any]) -> Question | None:
    choice = _likeliest(client, body)
    if any(map(_is_in_doubt, (choice["logprobs"] or {}).get("content") or [])):
        return None
    return Question(body, said(choice["message"]))


def _likeliest(client: httpx.Client, body: dict[str, Any]) -> dict[str, Any]:
    response = client.post(CHAT, json=body | {"logprobs": True, "top_logprobs": 2}, timeout=60.0)
    response.raise_for_status()
    choice: dict[str, Any] = response.json()["choices"][0]
    return choice


def _is_in_doubt(entry: dict[str, Any]) -> bool:
    likeliest = [top["logprob"] for top in entry["top_logprobs"]]
    return len(likeliest) > 1 and likeliest[0] - likeliest[1] < _LEAST_MARGIN
