"""Owns conversations made of random words, and what a client sends of them; pure."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from typing import Any, Self

from scripts.cache_trials.client import Message

_TEXT = (
    "lamp music weather kitchen garden window door clock phone table river bridge "
    "market ticket engine signal summer winter morning evening doctor teacher farmer "
    "sailor yellow purple silver copper seven eleven twenty always never often please "
    "remember answer question quiet loud heavy light under above behind between "
    "travel listen repeat measure open close north south coffee bread apple letter "
    "number picture camera battery sensor report history"
)
_WORDS = tuple(_TEXT.split())
_COLORS = ("red", "green", "blue", "white")


def words(dice: random.Random, n: int) -> str:
    """Return a text of so many words."""
    return " ".join(dice.choices(_WORDS, k=n))


@dataclass(frozen=True)
class Head:
    """What conversations begin with: instructions and tools."""

    system: str
    tools: tuple[dict[str, Any], ...] = ()

    @property
    def messages(self) -> list[Message]:
        """The messages that it is sent as."""
        return [{"role": "system", "content": self.system}]

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of a request that belong to it."""
        return {"tools": list(self.tools)} if self.tools else {}


def make_head(dice: random.Random, n_words: int, n_tools: int = 0) -> Head:
    """Return a head that no other seed has."""
    name = f"{dice.getrandbits(40):x}"
    tools = tuple(_tool(dice, number) for number in range(n_tools))
    left = n_words - sum(len(json.dumps(tool).split()) for tool in tools)
    return Head(f"House {name}. {words(dice, max(8, left))}.", tools)


def _tool(dice: random.Random, number: int) -> dict[str, Any]:
    color = {"type": "string", "enum": list(_COLORS), "description": words(dice, 4)}
    place = {"type": "integer", "minimum": 0, "maximum": 9, "description": words(dice, 4)}
    return {
        "type": "function",
        "function": {
            "name": f"set_{dice.choice(_WORDS)}_{number}",
            "description": words(dice, 8),
            "parameters": {
                "type": "object",
                "properties": {"color": color, "place": place},
                "required": ["color", "place"],
            },
        },
    }


@dataclass
class Talk:
    """A conversation so far.

    Attributes:
        head: what it begins with.
        turns: the messages after that, as the client sends them.
        plain: the same with calls as the model wrote them. A server that did not generate them
            tokenises these the same way as one that did.
    """

    head: Head
    turns: list[Message] = field(default_factory=list)
    plain: list[Message] = field(default_factory=list)

    @property
    def messages(self) -> list[Message]:
        """All messages that the client sends."""
        return self.head.messages + self.turns

    @property
    def plain_messages(self) -> list[Message]:
        """All messages, calls as the model wrote them."""
        return self.head.messages + self.plain

    def add(self, message: Message, plain: Message | None = None) -> Self:
        """Append a message."""
        self.turns.append(message)
        self.plain.append(message if plain is None else plain)
        return self

    def say(self, text: str) -> Self:
        """Append a user's message."""
        return self.add({"role": "user", "content": text})

    def take(self, message: Message, *, rewrite: bool = False) -> Self:
        """Append an answer and, where it calls tools, their results.

        Args:
            message: the answer.
            rewrite: write the JSON of calls in another way, as many clients do.
        """
        calls = [call for call in message.get("tool_calls") or [] if _is_whole(call)]
        if not calls:
            message = {name: value for name, value in message.items() if name != "tool_calls"}
            return self.add(message | {"content": message.get("content") or ""})
        message = message | {"tool_calls": calls}
        self.add(rewritten(message) if rewrite else message, message)
        for call in calls:
            result = {"role": "tool", "tool_call_id": call["id"], "content": '{"ok": true}'}
            self.add(result)
        return self

    def think(self, text: str) -> Self:
        """Give the last answer a thought, as if the model had had it."""
        message = self.turns.pop() | {"reasoning_content": text}
        self.plain.pop()
        return self.add(message)

    def copy(self, n_turns: int | None = None) -> Talk:
        """Return a branch with the first messages, or with all."""
        return Talk(self.head, self.turns[:n_turns], self.plain[:n_turns])


def _is_whole(call: dict[str, Any]) -> bool:
    try:
        return isinstance(json.loads(call["function"]["arguments"]), dict)
    except ValueError:
        return False


def rewritten(message: Message) -> Message:
    """Return a message whose calls have their arguments in other words, which mean the same."""
    calls = []
    for call in message["tool_calls"]:
        function = call["function"]
        arguments = json.dumps(json.loads(function["arguments"]), indent=2)
        calls.append(call | {"function": function | {"arguments": arguments}})
    return message | {"tool_calls": calls}


def called(dice: random.Random, head: Head, number: int) -> Message:
    """Return an answer that calls a tool of the head, as if a model had given it."""
    arguments = {"color": dice.choice(_COLORS), "place": dice.randrange(10)}
    function = {
        "name": dice.choice(head.tools)["function"]["name"],
        "arguments": json.dumps(arguments),
    }
    call = {"id": f"call_{number:09d}", "type": "function", "function": function}
    return {"role": "assistant", "content": "", "tool_calls": [call]}


def without_words(messages: list[Message], n: int) -> list[Message]:
    """Return messages whose first one lacks so many words in its middle."""
    first, *rest = messages
    kept = first["content"].split()
    middle = len(kept) // 2
    del kept[middle : middle + n]
    return [first | {"content": " ".join(kept)}, *rest]
