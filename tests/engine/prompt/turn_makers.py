"""Owns short ways to make turns and to ask what became of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from app.chat.parsing.stream_parser import PlainParser
from app.chat.tool_formats.hermes import HermesParser
from app.engine.prompt.generated_turns import (
    GeneratedTurn,
    GeneratedTurns,
    Meaning,
    meaning_of,
)

END = "<|im_end|>"
ASK = "<|im_start|>assistant\n"
Message = dict[str, Any]


def plain(text: str) -> Meaning:
    return meaning_of(text, PlainParser())


def hermes(text: str) -> Meaning:
    return meaning_of(text, HermesParser())


def remembered(
    *turns: GeneratedTurn, meaning: Callable[[str], object] = hermes, **more: Any
) -> GeneratedTurns:
    store = GeneratedTurns(meaning, **more)
    for turn in turns:
        store.remember(turn)
    return store


def turn(answer: str, *tokens: int, prompt: str = ASK, end: str = END) -> GeneratedTurn:
    return GeneratedTurn(prompt, tokens, answer, end)


def call(arguments: str, name: str = "f") -> str:
    return f'<tool_call>\n{{"name": "{name}", "arguments": {arguments}}}\n</tool_call>'


def rest_of(store: GeneratedTurns, said: str, *, prompt: str = ASK) -> str | None:
    spliced = store.splice(prompt + said)
    return None if spliced is None else spliced.rest
