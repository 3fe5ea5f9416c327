"""Owns the way from a prompt without a template to tokens; must not know chat templates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from app.errors import InvalidRequest
from app.protocol import Infill, RawPrompt

_NEAR_TOKENS = 2048  # of the text itself, so that other texts find room
_MIDDLE_TOKENS, _STEPS = 64, 8
_REPOSITORY, _FILE, _OTHER_FILE = "project\n", "file\n", "other"
_BETWEEN = "\n\n"


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
    def infill_separators(self) -> tuple[int | None, int | None]:
        """The tokens before the names of a repository and of a file; None for those it lacks."""

    @property
    def n_vocab(self) -> int:
        """How many tokens there are."""

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        """Return the token ids of `text`."""


def raw_tokens(
    prompt: RawPrompt, tokenizer: RawTokenizer, *, n_ctx: int | None = None
) -> list[int]:
    """Return the tokens of a raw prompt.

    Args:
        n_ctx: tokens of the context, to which a text to be filled in is cut; None: of any length.

    Raises:
        InvalidRequest: token ids out of range, no token at all, or a suffix for a model that
            cannot fill in the middle.
    """
    if prompt.infill is not None:
        return _infilled(prompt.infill, tokenizer, n_ctx)
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


def _infilled(infill: Infill, tokenizer: RawTokenizer, n_ctx: int | None) -> list[int]:
    """Return the prompt of a text to be filled in, other texts before it.

    What is before the middle gets three quarters of the room, what is after it a quarter, and other
    texts what that leaves. What the middle begins with comes last, for it changes with each key;
    so that a prompt begins like the one before it, a text that grows is cut in steps.
    """
    marks = tokenizer.infill_tokens
    if marks is None:
        raise InvalidRequest("This model cannot fill in the middle of a text", param="input_suffix")

    def read(text: str) -> list[int]:
        return tokenizer.tokenize(text, add_special=False, parse_special=False)

    before, after, middle = read(infill.prefix), read(infill.suffix), read(infill.middle)
    extra = _extra_tokens(infill, tokenizer, read) if infill.extra else []
    begin = [tokenizer.bos_token] if tokenizer.adds_bos and tokenizer.bos_token is not None else []
    if n_ctx is not None:
        room = max(n_ctx - infill.n_answer, n_ctx // 2) - len(begin) - len(marks) - 1
        n_middle = min(_MIDDLE_TOKENS * (len(middle) // _MIDDLE_TOKENS + 1), room // 4)
        room = max(0, room - max(n_middle, len(middle)))
        near = min(_NEAR_TOKENS, room // 2 if extra else room)
        before, after = _last(before, near * 3 // 4), after[: near // 4]
        extra = _last(extra, room - len(before) - len(after))
    return [*begin, *extra, marks[0], *before, marks[1], *after, marks[2], *middle]


def _extra_tokens(
    infill: Infill, tokenizer: RawTokenizer, read: Callable[[str], list[int]]
) -> list[int]:
    """Return the tokens of other texts, each with its name where the model has a token for that."""
    repository, file = tokenizer.infill_separators
    tokens = [] if repository is None else [repository, *read(_REPOSITORY)]
    for extra in infill.extra:
        if file is None:
            tokens += [*read(extra.text), *read(_BETWEEN)]
        else:
            tokens += [file, *read(f"{extra.filename or _OTHER_FILE}\n"), *read(extra.text)]
    return tokens if file is None else [*tokens, file, *read(_FILE)]


def _last(tokens: list[int], most: int) -> list[int]:
    """Return the last tokens, at most so many; the cut is at a multiple of a part of that."""
    step = max(1, most // _STEPS)
    n_over = max(0, len(tokens) - most)
    return tokens[-(-n_over // step) * step :]


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
