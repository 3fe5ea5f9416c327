"""Owns the tokens of texts that were tokenised lately; must not know templates or llama.cpp.

A prompt is rendered several times with small differences, and the next one begins like it. So a
prompt is cut at special tokens and between lines (see `app.engine.prompt.text_cuts`), and a part
that is known is not tokenised again.
"""

from __future__ import annotations

import sys
from array import array
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Protocol

from app.base.special_token import SplitRules
from app.engine.prompt.raw_prompt import RawTokenizer
from app.engine.prompt.text_cuts import TextCuts

MIN_CHARS = 256
_MAX_BYTES = 2 * 1024 * 1024
_ENTRY_BYTES = 256  # the key, and the entry of the dictionary


class Tokenizer(RawTokenizer, Protocol):
    """What prompts need of a model."""

    @property
    def eos_text(self) -> str:
        """Text of the end-of-sequence token."""

    @property
    def end_texts(self) -> tuple[str, ...]:
        """Texts of the tokens that usually end an answer."""


class TokenMemo:
    """A tokeniser that remembers; its tokens are those of the tokeniser that it is made with.

    Args:
        tokenizer: asked for what is not known.
        split_rules: where it splits texts; None where that is not known, and then a text is
            remembered as a whole.
        written: what prompts are made of (see `TextCuts`).
        max_bytes: what texts and tokens may take together; texts of less than `MIN_CHARS`
            characters are not remembered.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        split_rules: SplitRules | None,
        written: Iterable[str],
        *,
        max_bytes: int = _MAX_BYTES,
    ) -> None:
        self._inner = tokenizer
        self._split_rules = split_rules
        self._written = written
        self._max_bytes = max_bytes
        self._known: OrderedDict[tuple[str, bool], tuple[array[int], int]] = OrderedDict()
        self._n_bytes = 0

    @property
    def n_bytes(self) -> int:
        """Memory that texts and tokens take."""
        return self._n_bytes

    @property
    def bos_text(self) -> str:
        """Text of the beginning-of-sequence token."""
        return self._inner.bos_text

    @property
    def bos_token(self) -> int | None:
        """The beginning-of-sequence token, if the model has one."""
        return self._inner.bos_token

    @property
    def adds_bos(self) -> bool:
        """Whether prompts of the model begin with that token."""
        return self._inner.adds_bos

    @property
    def infill_separators(self) -> tuple[int | None, int | None]:
        """The tokens before the names of a repository and of a file; None for those it lacks."""
        return self._inner.infill_separators

    @property
    def infill_tokens(self) -> tuple[int, int, int] | None:
        """The tokens before the prefix, the suffix and the middle, if the model has them."""
        return self._inner.infill_tokens

    @property
    def n_vocab(self) -> int:
        """How many tokens there are."""
        return self._inner.n_vocab

    def prepare(self) -> None:
        """Look for the places to cut at, which otherwise waits for the first long text."""
        _ = self._cuts

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        """Return the token ids of `text`."""
        added = self._added if add_special else ()
        if len(text) < MIN_CHARS or added is None:
            return self._inner.tokenize(text, add_special=add_special, parse_special=parse_special)
        tokens = list(added)
        for piece in self._pieces(text) if parse_special else (text,):
            tokens.extend(self._of_piece(piece, parse_special=parse_special))
        return tokens

    def forget(self) -> None:
        """Forget all texts."""
        self._known.clear()
        self._n_bytes = 0

    @cached_property
    def _added(self) -> list[int] | None:
        """What stands before a text where special tokens are added; None: not only before it."""
        alone = self._plain("a")
        whole = self._inner.tokenize("a", add_special=True, parse_special=True)
        n_added = len(whole) - len(alone)
        return whole[:n_added] if n_added >= 0 and whole[n_added:] == alone else None

    @cached_property
    def _cuts(self) -> TextCuts | None:
        if self._split_rules is None:
            return None
        return TextCuts(self._split_rules, self._written, self._is_exact)

    def _is_exact(self, before: str, after: str) -> bool:
        return self._plain(before + after) == [*self._plain(before), *self._plain(after)]

    def _plain(self, text: str) -> list[int]:
        return self._inner.tokenize(text, add_special=False, parse_special=True)

    def _pieces(self, text: str) -> Iterator[str]:
        return iter((text,)) if self._cuts is None else self._cuts.pieces(text, MIN_CHARS)

    def _of_piece(self, piece: str, *, parse_special: bool) -> Iterable[int]:
        key = piece, parse_special
        known = self._known.get(key)
        if known is not None:
            self._known.move_to_end(key)
            return known[0]
        tokens = self._inner.tokenize(piece, add_special=False, parse_special=parse_special)
        if len(piece) >= MIN_CHARS:
            self._keep(key, array("i", tokens))
        return tokens

    def _keep(self, key: tuple[str, bool], tokens: array[int]) -> None:
        """Keep the tokens of a text as the latest ones; drop the least recently used."""
        n_bytes = sys.getsizeof(key[0]) + sys.getsizeof(tokens) + _ENTRY_BYTES
        if n_bytes > self._max_bytes:
            return
        self._known[key] = tokens, n_bytes  # the text may have grown when it leaves
        self._n_bytes += n_bytes
        while self._n_bytes > self._max_bytes:
            self._n_bytes -= self._known.popitem(last=False)[1][1]
