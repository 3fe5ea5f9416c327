"""Owns the way from a prompt without a template to tokens; must not know chat templates."""

from __future__ import annotations

from typing import Protocol

from app.errors import InvalidRequest
from app.protocol import RawPrompt


class RawTokenizer(Protocol):
    """What raw prompts need of a model."""

    @property
    def bos_text(self) -> str:
        """Text of the beginning-of-sequence token."""

    @property
    def bos_token(self) -> int | None:
        """The beginning-of-sequence token, if the model has one."""

    @property
    def adds_bos(self) -> bool:
        """Whether prompts of the model begin with that token."""

    @property
    def infill_tokens(self) -> tuple[int, int, int] | None:
        """The tokens before the prefix, the suffix and the middle, if the model has them."""

    @property
    def n_vocab(self) -> int:
        """How many tokens there are."""

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        """Return the token ids of `text`."""


def raw_tokens(prompt: RawPrompt, tokenizer: RawTokenizer) -> list[int]:
    """Return the tokens of a raw prompt.

    Raises:
        InvalidRequest: token ids out of range, no token at all, or a suffix for a model that
            cannot fill in the middle.
    """
    if prompt.suffix:
        return _infill_tokens(prompt, prompt.suffix, tokenizer)
    if prompt.tokens is not None:
        tokens = checked(prompt.tokens, tokenizer)
    else:
        tokens = _text_tokens(prompt, tokenizer)
    if not tokens:
        raise InvalidRequest("The prompt has no tokens", param="prompt")
    return tokens


def _text_tokens(prompt: RawPrompt, tokenizer: RawTokenizer) -> list[int]:
    text = prompt.text or ""
    if not text:
        return [] if tokenizer.bos_token is None else [tokenizer.bos_token]
    has_bos = bool(tokenizer.bos_text) and text.startswith(tokenizer.bos_text)
    add_special = prompt.add_special and not has_bos
    return tokenizer.tokenize(text, add_special=add_special, parse_special=True)


def _infill_tokens(prompt: RawPrompt, suffix: str, tokenizer: RawTokenizer) -> list[int]:
    """Return prefix, suffix and middle in this order; what stands in them is no special token."""
    marks = tokenizer.infill_tokens
    if marks is None:
        raise InvalidRequest("This model cannot fill in the middle of a text", param="suffix")
    if prompt.tokens is not None:
        before = checked(prompt.tokens, tokenizer)
    else:
        before = tokenizer.tokenize(prompt.text or "", add_special=False, parse_special=False)
    after = tokenizer.tokenize(suffix, add_special=False, parse_special=False)
    adds_bos = prompt.add_special and tokenizer.adds_bos
    begin = [tokenizer.bos_token] if adds_bos and tokenizer.bos_token is not None else []
    return [*begin, marks[0], *before, marks[1], *after, marks[2]]


def checked(tokens: list[int], tokenizer: RawTokenizer, param: str = "prompt") -> list[int]:
    """Return a copy of token ids that a client sent.

    Raises:
        InvalidRequest: one of them is not in the vocabulary.
    """
    wrong = next((token for token in tokens if not 0 <= token < tokenizer.n_vocab), None)
    if wrong is not None:
        most = tokenizer.n_vocab - 1
        raise InvalidRequest(
            f"{param}: {wrong} is no token id; ids run from 0 to {most}", param=param
        )
    return list(tokens)
