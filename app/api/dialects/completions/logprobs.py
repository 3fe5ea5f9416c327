"""Owns OpenAI's legacy `logprobs` object; no I/O, no Sanic."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from typing import Any

from app.protocol import PromptEcho, PromptToken, TokenLogprob

Token = PromptToken | TokenLogprob


class TokenList:
    """The tokens of one text that were not returned yet, with their offsets in it."""

    def __init__(self) -> None:
        self._tokens: list[Token] = []
        self._offsets: list[int] = []
        self._go_to(0)

    def _go_to(self, offset: int) -> None:
        self._offset = offset
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def add_prompt(self, prompt: PromptEcho) -> None:
        """Add the tokens of the prompt that the text begins with.

        A token without text, such as BOS, has the offset of the next one.
        """
        text, position = prompt.text.encode(), 0
        for token in prompt.tokens:
            shown = _shown_of(token.piece, text, position)
            position += len(shown)
            self._add(token, shown)
        self._go_to(len(prompt.text))

    def add(self, tokens: Sequence[TokenLogprob]) -> None:
        """Add generated tokens; the offset inside a character is that of its start."""
        for token in tokens:
            self._add(token, token.piece)

    def _add(self, token: Token, shown: bytes) -> None:
        self._tokens.append(token)
        self._offsets.append(self._offset)
        self._offset += len(self._decoder.decode(shown))

    @property
    def is_empty(self) -> bool:
        """Whether nothing was added since the last time."""
        return not self._tokens

    def take(self) -> dict[str, Any]:
        """Return the object for what was added since the last time."""
        tokens, self._tokens = self._tokens, []
        offsets, self._offsets = self._offsets, []
        return {
            "tokens": [_shown(token.piece) for token in tokens],
            "token_logprobs": [token.logprob for token in tokens],
            "top_logprobs": list(map(_top, tokens)),
            "text_offset": offsets,
        }


def _shown_of(piece: bytes, text: bytes, position: int) -> bytes:
    """Return the bytes of a token in the text; some tokenizers prepend a space."""
    for shown in (piece, piece.removeprefix(b" ")):
        if text.startswith(shown, position):
            return shown
    return b""


def _top(token: Token) -> dict[str, float] | None:
    """Return the most likely tokens at a position, and the actual one."""
    if token.logprob is None:
        return None
    found: dict[str, float] = {}
    for chance in token.top:  # of two with the same text, keep the more likely one
        found.setdefault(_shown(chance.piece), chance.logprob)
    found.setdefault(_shown(token.piece), token.logprob)
    return found


def _shown(piece: bytes) -> str:
    """Return a token as text; as OpenAI's `bytes:…` if it is not valid UTF-8."""
    try:
        return piece.decode("utf-8")
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in piece)
