"""Owns answers that a stop string or a limit cut: which of their tokens a prompt can use.

Text ends where it was cut, tokens often elsewhere: the one in which a stop string begins says
more than the client has got, and a limit may come inside a character.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

_BEFORE_CHARS = 256
_AHEAD_CHARS = 64
_MAX_TRIES = 16


@dataclass(frozen=True, slots=True)
class CutAnswer:
    """The whole tokens of a generated text before the place where it was cut.

    Args:
        text: what they spell.
        lengths: for each of them, the characters that it completes; 0 where it ends
            inside of one, so that prompts cannot part from the answer there.
    """

    text: str
    lengths: list[int]


def cut_answer(pieces: Iterable[bytes], stop: str | None) -> CutAnswer:
    """Return what its client has got of an answer, as far as that ends with a token.

    Args:
        pieces: bytes of the generated tokens.
        stop: the stop string that ended it; None where a limit did.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    text, n_open, lengths = "", 0, []
    for piece in pieces:
        more = decoder.decode(piece)
        text += more
        is_whole = not decoder.getstate()[0]
        lengths.append(n_open + len(more) if is_whole else 0)
        n_open = 0 if is_whole else n_open + len(more)
    n_shown = len(text) if stop is None else (text + decoder.decode(b"", final=True)).index(stop)
    n_tokens, n_chars = whole_tokens(lengths, n_shown)
    return CutAnswer(text[:n_chars], lengths[:n_tokens])


def whole_tokens(lengths: Sequence[int], n_chars: int) -> tuple[int, int]:
    """Return how many tokens lie wholly within `n_chars` characters, and their characters."""
    n_tokens = n_whole = reached = 0
    for at, length in enumerate(lengths, start=1):
        reached += length
        if reached > n_chars:
            break
        if length:
            n_tokens, n_whole = at, reached
    return n_tokens, n_whole


@dataclass(frozen=True, slots=True)
class CutEnd:
    """The place where a prompt goes on in other tokens than those generated.

    Args:
        before: text before that place, as long as what follows may depend on it.
        lengths: characters of the generated tokens before it.
    """

    before: str = ""
    lengths: Sequence[int] = ()

    @classmethod
    def at(cls, text: str, place: int, lengths: Sequence[int]) -> CutEnd:
        """Return a place in a prompt's text."""
        return cls(text[max(0, place - _BEFORE_CHARS) : place], lengths[-_BEFORE_CHARS:])


NO_CUT = CutEnd()


def joined(
    tokens: list[int], rest: str, end: CutEnd, tokenize: Callable[[str], list[int]]
) -> list[int] | None:
    """Return the tokens of a prompt: the known ones, then those of `rest`.

    Where a tokeniser would merge what is on both sides of the place, generated tokens are given up
    until it would not. So no word is split that the client wrote, and no space is added.

    Args:
        tokens: they end at the place.
        rest: text behind it.
        end: the place; `NO_CUT` where a special token begins there.
        tokenize: without a beginning of sequence.

    Returns:
        None where there is no such place near.
    """
    if end == NO_CUT or not rest:
        return [*tokens, *tokenize(rest)]
    before, lengths = end.before, list(end.lengths)
    for _ in range(_MAX_TRIES):
        # a part of the rest first, as it may be long
        if _tokens_behind(before, rest[:_AHEAD_CHARS], tokenize) is not None:
            more = _tokens_behind(before, rest, tokenize)
            if more is not None:
                return [*tokens, *more]
        if not lengths or lengths[-1] >= len(before):
            return None
        length = lengths.pop()
        before, rest = before[:-length], before[-length:] + rest
        tokens = tokens[:-1]
        while lengths and not lengths[-1]:
            lengths.pop()
            tokens = tokens[:-1]
    return None


def _tokens_behind(
    before: str, rest: str, tokenize: Callable[[str], list[int]]
) -> list[int] | None:
    """Return the tokens of `rest` behind `before`; None where one token spans both."""
    known = tokenize(before)
    found = tokenize(before + rest) if known else []
    return found[len(known) :] if known and found[: len(known)] == known else None
