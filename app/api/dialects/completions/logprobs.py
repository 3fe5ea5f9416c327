"""Owns OpenAI's legacy `logprobs` object; no I/O, no Sanic."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from typing import Any

from app.protocol import PromptToken, TokenLogprob

Token = PromptToken | TokenLogprob


class TokenList:
    """The tokens of one text that no answer has shown yet, and where they are in it."""

    def __init__(self) -> None:
        self._tokens: list[Token] = []
        self._offsets: list[int] = []
        self.continue_at(0)

    def continue_at(self, offset: int) -> None:
        """Set where in the text the next token begins, in characters."""
        self._offset = offset
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def add(self, tokens: Sequence[Token]) -> None:
        """Add the tokens that come next; one inside a character is where that begins."""
        for token in tokens:
            self._tokens.append(token)
            self._offsets.append(self._offset)
            self._offset += len(self._decoder.decode(token.piece))

    def take(self) -> dict[str, Any] | None:
        """Return the object for what was added since the last time; None for nothing."""
        if not self._tokens:
            return None
        tokens, self._tokens = self._tokens, []
        offsets, self._offsets = self._offsets, []
        return {
            "tokens": [_shown(token.piece) for token in tokens],
            "token_logprobs": [token.logprob for token in tokens],
            "top_logprobs": list(map(_top, tokens)),
            "text_offset": offsets,
        }


def _top(token: Token) -> dict[str, float] | None:
    """Return the likeliest tokens in the place of one, and that one itself."""
    if token.logprob is None:
        return None
    found: dict[str, float] = {}
    for chance in token.top:  # of two that look alike, the likelier one stays
        found.setdefault(_shown(chance.piece), chance.logprob)
    found.setdefault(_shown(token.piece), token.logprob)
    return found


def _shown(piece: bytes) -> str:
    """Return a token as text; what is no UTF-8 as OpenAI writes it, by its bytes."""
    try:
        return piece.decode("utf-8")
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in piece)
