"""Owns a vocabulary of bytes, parts of words and special tokens, and answers that are cut."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence
from typing import Any

from app.engine.decode.answer import Answer
from app.engine.prompt.builder import Prompt, PromptBuilder
from app.engine.prompt.cut_answers import cut_answer
from app.engine.prompt.generated_turns import GeneratedTurn
from app.protocol import (
    Generate,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    ToolCallStart,
)


class Chunks:
    """Tokenises words in parts of up to four letters, from the left, and the rest byte by byte.

    Args:
        specials: texts that are a token where special tokens are parsed.
        end_texts: those that end answers.
    """

    bos_text = eos_text = ""
    bos_token: int | None = None
    adds_bos = False
    infill_tokens: tuple[int, int, int] | None = None
    infill_separators: tuple[int | None, int | None] = (None, None)
    n_vocab = 1 << 20

    def __init__(self, specials: Iterable[str] = (), end_texts: Sequence[str] = ()) -> None:
        self.end_texts = tuple(end_texts)
        texts = sorted({*specials, *end_texts}, key=len, reverse=True)
        self._special = re.compile("|".join(map(re.escape, texts)) or "(?!)")
        self._ids: dict[bytes, int] = {}
        self._pieces: list[bytes] = []

    def _token(self, piece: bytes) -> int:
        if piece not in self._ids:
            self._ids[piece] = len(self._pieces)
            self._pieces.append(piece)
        return self._ids[piece]

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        tokens, end = [], 0
        for match in self._special.finditer(text) if parse_special else ():
            tokens += [*self._words(text[end : match.start()]), self._token(match[0].encode())]
            end = match.end()
        return [*tokens, *self._words(text[end:])]

    def _words(self, text: str) -> list[int]:
        tokens: list[int] = []
        for chunk in re.findall(r" ?[a-z]{1,4}|\s+|.", text, re.ASCII | re.DOTALL):
            data = chunk.encode("utf-8", "surrogatepass")
            pieces = [data] if data.isascii() else [data[at : at + 1] for at in range(len(data))]
            tokens += map(self._token, pieces)
        return tokens

    def piece(self, token: int) -> bytes:
        return self._pieces[token]

    def spell(self, tokens: Iterable[int]) -> bytes:
        return b"".join(map(self.piece, tokens))


def generated(vocabulary: Any, text: str, dice: random.Random) -> list[int]:
    """Tokenise in any way there is, as a model does."""
    tokens: list[int] = []
    while text:
        cut = dice.randint(1, len(text) if dice.random() < 0.5 else min(3, len(text)))
        tokens += vocabulary.tokenize(text[:cut], add_special=False, parse_special=True)
        text = text[cut:]
    return tokens


def until(vocabulary: Any, tokens: Sequence[int], stop: str) -> list[int]:
    """Return the tokens up to the one with which a stop string is whole."""
    data = b""
    for n_tokens, token in enumerate(tokens, start=1):
        data += vocabulary.piece(token)
        if stop in data.decode("utf-8", "ignore"):
            return list(tokens[:n_tokens])
    raise AssertionError(f"no {stop!r}")


def answered(
    prompts: PromptBuilder, command: Generate, prompt: Prompt, pieces: list[bytes]
) -> dict[str, Any]:
    """Return the message that a client gets of an answer that was cut."""
    answer = Answer("r", command.stop, prompts.parser(command, prompt))
    events = [event for piece in pieces for event in answer.feed(piece)]
    events += answer.finish(cut=not command.stop)
    message: dict[str, Any] = {"role": "assistant", "content": ""}
    calls: list[dict[str, Any]] = []
    for event in events:
        match event:
            case TextDelta(text=text):
                message["content"] += text
            case ReasoningDelta(text=text):
                message["reasoning_content"] = message.get("reasoning_content", "") + text
            case ToolCallStart(name=name, id=call_id):
                function = {"name": name, "arguments": ""}
                calls.append({"id": call_id[-9:], "type": "function", "function": function})
            case ToolCallDelta(index=index, arguments=more):
                calls[index]["function"]["arguments"] += more
            case _:
                raise AssertionError(event)
    return message | ({"tool_calls": calls} if calls else {})


def cut_turn(
    prompt: Prompt, tokens: Sequence[int], pieces: list[bytes], stop: str
) -> GeneratedTurn:
    """Return what is remembered of an answer that was cut."""
    cut = cut_answer(pieces, stop or None)
    kept = [*prompt.tokens, *tokens[: len(cut.lengths)]]
    return GeneratedTurn(prompt.text, kept, cut.text, "", cut.lengths)
