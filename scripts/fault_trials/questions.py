"""Owns questions with one right answer, so that an answer given in company can be told to be wrong.

In company, matrix products and attention sum in another order. Where two tokens are nearly as
likely as each other, that may turn a greedy answer. So only questions are asked where none are.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from scripts.fault_trials.target import CHAT

_PROMPTS = Path(__file__).resolve().parents[2] / "tests" / "data" / "nano_eval"
_SKILLS = ("capitals", "chat", "known_tools", "no_tool", "tool_result")
_PER_SKILL = 12
_LEAST_MARGIN = 1.0
_MOST_TOKENS = 64
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
    response = client.post(CHAT, json=body | {"logprobs": True, "top_logprobs": 2}, timeout=60.0)
    response.raise_for_status()
    choice = response.json()["choices"][0]
    for entry in (choice["logprobs"] or {}).get("content") or []:
        likeliest = [top["logprob"] for top in entry["top_logprobs"]]
        if len(likeliest) > 1 and likeliest[0] - likeliest[1] < _LEAST_MARGIN:
            return None
    return Question(body, said(choice["message"]))
