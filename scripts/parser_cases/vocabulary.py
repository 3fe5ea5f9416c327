"""Owns a vocabulary of bytes and tags, for prompts and grammars without a model."""

from __future__ import annotations

import re
from collections.abc import Iterable

from llguidance import LLTokenizer

from app.engine.constrain import Compiler

END = 256


class Vocabulary:
    """One token a byte, an end of the answer, and one token for each of `tags`."""

    is_tokenizer_wrapper = True
    bos_token_id = None
    bos_token: int | None = None
    bos_text = ""
    eos_text = "</s>"
    end_texts = ("</s>",)
    eos_token_id = END
    adds_bos = False
    infill_tokens: tuple[int, int, int] | None = None
    infill_separators: tuple[int | None, int | None] = (None, None)

    def __init__(self, tags: Iterable[str] = ()) -> None:
        self._ids = {tag: END + 1 + n for n, tag in enumerate(dict.fromkeys(filter(None, tags)))}
        self.tokens = [bytes([value]) for value in range(256)]
        self.tokens += [b"<end>", *(tag.encode() for tag in self._ids)]
        self.special_token_ids = [END, *self._ids.values()]
        by_length = sorted(self._ids, key=len, reverse=True)
        self._tags = re.compile(f"({'|'.join(map(re.escape, by_length))})") if by_length else None
        self.n_vocab = len(self.tokens)

    def __call__(self, text: str | bytes) -> list[int]:
        """Return the tokens of ordinary text."""
        return list(text.encode() if isinstance(text, str) else text)

    def compiler(self) -> Compiler:
        """Return a compiler of grammars for this vocabulary."""
        return Compiler(LLTokenizer(self, eos_token=[END]))  # type: ignore[arg-type]

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        """Return the tokens of a text; the tags in it are the tokens they are."""
        pieces = self._tags.split(text) if self._tags and parse_special else [text]
        ids = ([self._ids[piece]] if piece in self._ids else self(piece) for piece in pieces)
        return [token for piece in ids for token in piece]

    def token_of(self, text: str) -> int | None:
        """Return the token that a tag is; None where it is several."""
        return self._ids.get(text)

    def shown_piece(self, token: int) -> bytes:
        """Return the bytes of a token."""
        return self.tokens[token]
