"""Owns one grammar's state in one answer; must not know where grammars come from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from llguidance import LLMatcher, LLTokenizer

# One set of tokens that is looked up instead of walked: what may stand within a JSON string. Only
# short ones are in it, for it is of use as long as all of it may come: were there no limit, every
# mask within a string that has a `maxLength` would be walked, which takes ten times as long.
# A further set would cost ten megabytes at 152,000 tokens, and save little.
_SLICES = [r'[^"\\\x00-\x1F\x7F]{1,12}']
_SPECIAL = b"\xff"


class Vocabulary(Protocol):
    """What matchers need to know of a model's vocabulary."""

    @property
    def end_tokens(self) -> tuple[int, ...]:
        """All tokens that end the generation."""

    @property
    def native(self) -> tuple[int, int]:
        """Addresses of llama.cpp's vocabulary and of its `llama_tokenize`."""

    def token_table(self) -> tuple[list[bytes], set[int]]:
        """Return the bytes of every token, and which tokens are no text."""


def build_tokenizer(vocabulary: Vocabulary) -> LLTokenizer:
    """Return llguidance's view of a vocabulary.

    Takes about a second for 152,000 tokens, half of it without letting other threads run: to be
    called before there are requests.
    """
    pieces, specials = vocabulary.token_table()
    for token in specials:
        pieces[token] = _SPECIAL + pieces[token]
    vocab_ptr, tokenize_ptr = vocabulary.native
    from_llamacpp = LLTokenizer.from_llamacpp  # type: ignore[attr-defined]
    tokenizer: LLTokenizer = from_llamacpp(
        tokens=pieces,
        vocab_ptr=vocab_ptr,
        tokenize_fptr=tokenize_ptr,
        eos_token=list(vocabulary.end_tokens),
        slices=_SLICES,
    )
    return tokenizer


class Matcher:
    """Follows an answer along a grammar, token by token.

    Args:
        inner: a matcher without error.
        tokenizer: the one it was made with.
        original: the one that was compiled, for a copy.

    Attributes:
        has_failed: whether a copy gave up.
    """

    def __init__(
        self, inner: LLMatcher, tokenizer: LLTokenizer, original: Matcher | None = None
    ) -> None:
        self._inner = inner
        self._tokenizer = tokenizer
        self._original = original or self
        self.has_failed = False

    def copy(self) -> Matcher:
        """Return a matcher in the same state that goes its own way; takes microseconds."""
        return Matcher(self._inner.deep_copy(), self._tokenizer, self._original)

    @property
    def is_over(self) -> bool:
        """Whether the grammar admits nothing more."""
        return self._inner.is_stopped()

    @property
    def error(self) -> str:
        """Why the matcher gave up; empty where it did not."""
        error = self._inner.get_error().split("\n", 1)[0]
        self._original.has_failed = self._original.has_failed or bool(error)
        return error

    def mask(self) -> bytes:
        """Return which tokens may come next, a bit each, the lowest bit of a byte first."""
        return self._inner.compute_bitmask()

    def take(self, token: int) -> None:
        """Note that a token was chosen, one that the mask allows."""
        self._inner.consume_token(token)

    def take_text(self, data: bytes) -> bool:
        """Note that text was written; False, and nothing noted, where the grammar forbids it."""
        tokens = self._tokenizer.tokenize_bytes(data)
        n_taken = self._inner.try_consume_tokens(tokens)
        if n_taken == len(tokens):
            return True
        self._inner.rollback(n_taken)
        return False

    def take_forced(self) -> list[int]:
        """Return the tokens that have to come next, and note that they did."""
        tokens = self._inner.compute_ff_tokens()
        if tokens:
            self._inner.consume_tokens(tokens)
        return tokens

    def n_allowed(self, tokens: Sequence[int]) -> int:
        """Return how many of these tokens may come next, one after the other."""
        return self._inner.validate_tokens(list(tokens))
