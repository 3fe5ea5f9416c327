"""Matchers of real grammars over a vocabulary of bytes and tags, and random walks through them."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence

from llguidance import LLMatcher, LLTokenizer, TokenizerWrapper

EOS = 256
_CLOSERS = ('"', '"', "'", "}", "}", "]", ")", "0", "\n", "/")
_TEMPTING = frozenset(b"\"'\\}{]()[,:<>/\n\r&! 0-")


class Vocabulary:
    """One token a byte, and one for each of `tags`."""

    def __init__(self, tags: Iterable[str] = ()) -> None:
        self.eos_token_id = EOS
        self.bos_token_id = None
        self.ids = {tag: EOS + 1 + n for n, tag in enumerate(dict.fromkeys(filter(None, tags)))}
        self.tokens = [bytes([n]) for n in range(256)]
        self.tokens += [b"<eos>", *(tag.encode() for tag in self.ids)]
        self.special_token_ids = [EOS, *self.ids.values()]
        self.tokenizer = LLTokenizer(TokenizerWrapper(self))
        by_length = sorted(map(re.escape, self.ids), key=len, reverse=True)
        self._tags = re.compile("(" + "|".join(by_length) + ")") if by_length else None

    def __call__(self, text: bytes) -> list[int]:
        return list(text)

    def tokens_of(self, text: str) -> list[int]:
        """Return the tokens of a text; the tags in it are the tokens they are."""
        pieces = self._tags.split(text) if self._tags else [text]
        ids = [[self.ids[p]] if p in self.ids else list(p.encode()) for p in pieces]
        return [token for piece in ids for token in piece]

    def text_of(self, tokens: Iterable[int]) -> str:
        """Return what tokens stand for."""
        return b"".join(self.tokens[token] for token in tokens).decode()

    def matcher(self, grammar: str) -> LLMatcher:
        """Return a matcher at the grammar's start."""
        matcher = LLMatcher(self.tokenizer, grammar)
        assert not matcher.is_error(), matcher.get_error()
        return matcher

    def admits(self, grammar: str, text: str) -> bool:
        """Return whether the grammar is for this text, to its end."""
        matcher, tokens = self.matcher(grammar), self.tokens_of(text)
        return matcher.try_consume_tokens(tokens) == len(tokens) and matcher.is_accepting()

    def walk(
        self, start: LLMatcher, chance: random.Random, *, n_free: int, ends: Sequence[str] = ()
    ) -> str:
        """Return a random text of the grammar.

        Args:
            start: a matcher at the grammar's start.
            chance: makes the choices.
            n_free: after so many tokens the walk seeks the end.
            ends: what may end texts in it.
        """
        closers = [self.tokens_of(text) for text in (*_CLOSERS, *ends, *ends)]
        matcher = start.deep_copy()
        walked: list[int] = []
        while not matcher.is_stopped():
            assert len(walked) < 20_000, "the walk does not end"
            tokens = self._step(matcher, chance, closers, is_free=len(walked) < n_free)
            assert matcher.consume_tokens(tokens)
            walked += tokens
        assert matcher.stop_reason() == "NoExtension"
        return self.text_of(walked)

    def shortest(self, start: LLMatcher, chance: random.Random) -> str:
        """Return a text of a grammar that leaves little choice; what is certain costs no step."""
        matcher = start.deep_copy()
        walked: list[int] = []
        closers = [self.tokens_of(text) for text in _CLOSERS]
        while not matcher.is_stopped():
            assert len(walked) < 100_000, "the walk does not end"
            tokens = matcher.compute_ff_tokens()
            tokens = tokens or self._step(matcher, chance, closers, is_free=False)
            assert matcher.consume_tokens(tokens)
            walked += tokens
        return self.text_of(walked)

    def _step(
        self,
        matcher: LLMatcher,
        chance: random.Random,
        closers: Sequence[list[int]],
        *,
        is_free: bool,
    ) -> list[int]:
        allowed = [id for id, bias in enumerate(matcher.compute_logit_bias()) if bias]
        assert EOS not in allowed, "the block may end, or go on"
        if len(allowed) == 1:
            return allowed
        if not is_free or chance.random() < 0.1:
            for closer in (chance.choice(closers) for _ in range(1 if is_free else 20)):
                if matcher.validate_tokens(closer) == len(closer):
                    return closer
        tempting = [id for id in allowed if id in _TEMPTING or id > EOS]
        return [chance.choice(tempting if tempting and chance.random() < 0.3 else allowed)]
