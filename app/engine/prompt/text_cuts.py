"""Owns where a text may be cut so that its parts have the tokens of the whole; pure.

llama.cpp splits a text at its special tokens, the longest text first, and tokenises what stands
between them by itself. So a text may be cut before a special token that is certainly found there,
whatever surrounds it: no other one overlaps its text, and none contains it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from app.base.special_token import SpecialToken

_GAP = "\ufffd"  # between texts; no text has it where all of them are UTF-8
_MIN_CHARS = 3
_BEFORE = ("a b", "A. ", "\u00e9  \t", "1")
_AFTER = ("a b", " a\n", "  1", "\u00e9", "")

IsExact = Callable[[str, str], bool]
"""Returns whether two texts have the tokens of both together."""


class TextCuts:
    """The places before those special tokens that prompts usually have.

    Some vocabularies have runs of newlines as tokens that are always split at; then texts are cut
    before such runs, too.

    Args:
        tokens: all that the tokeniser splits texts at.
        written: what prompts are made of; only special tokens in it are looked for.
        is_exact: tries a cut; one that fails is not made.
    """

    def __init__(
        self, tokens: Iterable[SpecialToken], written: Iterable[str], is_exact: IsExact
    ) -> None:
        known = [token for token in tokens if token.text]
        wanted = "\n".join(written)
        joined = _GAP.join(["", *dict.fromkeys(token.text for token in known), ""])
        ways = []
        if not any(_GAP in token.text for token in known):
            found = {token.text for token in known if token.text in wanted and _can_begin(token)}
            certain = [text for text in found if _is_certain(text, joined)]
            ways = [
                re.escape(text)
                for text in sorted(certain, key=lambda text: (-len(text), text))
                if _is_proven(text, is_exact)
            ]
            run = _shortest_run(known)
            if run and _is_proven(run, is_exact):
                ways.append(f"{run}\n*")
        self._begin = re.compile("|".join(ways)) if ways else None

    def pieces(self, text: str, min_chars: int) -> Iterator[str]:
        """Return the parts of a text, in order.

        Neighbours with less than `min_chars` each stay together until they have as many. So a part
        depends on the text before it no further back than the last long part, and on the text
        behind it not at all.
        """
        begin = end = 0
        for cut in self._cuts(text):
            if cut - end >= min_chars:
                if begin < end:
                    yield text[begin:end]
                yield text[end:cut]
                begin = cut
            elif cut - begin >= min_chars:
                yield text[begin:cut]
                begin = cut
            end = cut
        if begin < len(text):
            yield text[begin:]

    def _cuts(self, text: str) -> Iterator[int]:
        if self._begin is not None:
            yield from (match.start() for match in self._begin.finditer(text))
        yield len(text)


def _can_begin(token: SpecialToken) -> bool:
    """Return whether a part may begin with a token; a word is too slow to look for."""
    text = token.text
    is_mark = len(text) >= _MIN_CHARS and not text[0].isalnum()
    return is_mark and text == text.strip() and not token.strips_before


def _is_certain(text: str, joined: str) -> bool:
    """Return whether a special text overlaps with no other one but such as lie within it.

    Args:
        joined: all of them, each once, with gaps around.
    """
    if joined.count(text) != 1:
        return False
    for n_chars in range(1, len(text)):
        start, end = text[:n_chars], text[-n_chars:]
        if joined.count(start + _GAP) != joined.count(_GAP + start + _GAP):
            return False
        if joined.count(_GAP + end) != joined.count(_GAP + end + _GAP):
            return False
    return True


def _shortest_run(tokens: list[SpecialToken]) -> str:
    """Return the shortest run of newlines that is always split at; "" where none is certainly."""
    having = [token for token in tokens if "\n" in token.text]
    if any(token.text.strip("\n") for token in having):
        return ""
    if any(token.strips_before or token.strips_after for token in tokens):
        return ""
    return min((token.text for token in having if token.is_user_defined), key=len, default="")


def _is_proven(text: str, is_exact: IsExact) -> bool:
    return all(is_exact(before, text + after) for before in _BEFORE for after in _AFTER)
