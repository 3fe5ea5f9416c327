"""Owns a vocabulary small enough to see through: each byte, some words, some tags, and an end."""

from __future__ import annotations

from collections.abc import Sequence

from llguidance import LLTokenizer

from app.engine.constrain import Compiler, Matcher

WORDS = [b"the", b" the", b"{", b'{"', b'": ', b'", "', b'"}', b"call", b">{", b">\n", b"\n\n"]
TAGS = ["<think>", "</think>", "<tool_call>", "</tool_call>"]


class SmallVocabulary:
    """Token ids: 0-255 are bytes, then `WORDS`, `TAGS` and the end."""

    is_tokenizer_wrapper = True
    bos_token_id = None

    def __init__(self, tags: Sequence[str] = TAGS, **limits: int) -> None:
        self.pieces = [bytes([value]) for value in range(256)] + WORDS
        self.tags = {tag: len(self.pieces) + at for at, tag in enumerate(tags)}
        self.pieces += [tag.encode() for tag in tags]
        self.end = self.eos_token_id = len(self.pieces)
        self.tokens = [*self.pieces, b"<end>"]
        self.special_token_ids = [*self.tags.values(), self.end]
        tokenizer = LLTokenizer(self, eos_token=[self.end])  # type: ignore[arg-type]
        self.compiler = Compiler(tokenizer, **limits)

    def __call__(self, text: str | bytes) -> list[int]:
        """Return tokens of ordinary text, always the longest that fits."""
        rest = text.encode() if isinstance(text, str) else text
        ids = []
        while rest:
            fits = (at for at, piece in enumerate(self.pieces) if rest.startswith(piece))
            best = max(fits, key=lambda at: len(self.pieces[at]))
            ids.append(best)
            rest = rest[len(self.pieces[best]) :]
        return ids

    def piece(self, token: int) -> bytes:
        return self.tokens[token]

    def spelled(self, tokens: Sequence[int]) -> bytes:
        return b"".join(map(self.piece, tokens))

    def token_of(self, text: str) -> int | None:
        return self.tags.get(text)

    def matcher(self, start: str) -> Matcher:
        return self.compiler.matcher(f"%llguidance {{}}\nstart: {start}\n", "grammar")


def allows(mask: bytes, token: int) -> bool:
    return bool(mask[token // 8] >> token % 8 & 1)
