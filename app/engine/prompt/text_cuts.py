"""Owns where a text may be cut so that its parts have the tokens of the whole; pure.

llama.cpp splits a text at its special tokens, the longest text first, and tokenises what stands
between them by itself. So a text may be cut before a special token that is certainly found there,
whatever surrounds it: no other one overlaps its text, and none contains it. It may also be cut
between lines where the tokeniser is known to merge nothing across.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from app.base.special_token import Newline, SpecialToken, SplitRules

_GAP = "\ufffd"  # between texts; no text has it where all of them are UTF-8
_MIN_CHARS = 3
_BEFORE = ("a b", "\u00e9.  \t")
_AFTER = ("a", " b\n", "")
_LINE_END = re.compile(r"\n(?=[A-Za-z0-9])")
_LINE_ENDS = ("a\n", ".\n", "a.\n", "1\n", "a \n", "a\n\n", "\u00e9\n\n")
_LINE_BEGINS = ("a", "1", "12 b", "The b\n", "It's", "e\u0301")

IsExact = Callable[[str, str], bool]
"""Returns whether two texts have the tokens of both together."""


class TextCuts:
    """The places before those special tokens that prompts usually have.

    Some vocabularies have runs of newlines as tokens that are always split at; then texts are cut
    before such runs, too. With others they may be cut behind newlines that a letter or digit
    follows.

    Args:
        rules: where the tokeniser splits texts.
        written: what prompts are made of; only special tokens in it are looked for.
        is_exact: tries a cut; one that fails is not made.
    """

    def __init__(self, rules: SplitRules, written: Iterable[str], is_exact: IsExact) -> None:
        known = [token for token in rules.tokens if token.text]
        self._newline: Newline = "joined"
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
            elif not run and _ends_lines(known, rules.newline, is_exact):
                ways.append(_LINE_END.pattern)
                self._newline = rules.newline
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
            for match in self._begin.finditer(text):
                cut = match.start()
                if self._newline == "joined" or text[cut] != "\n":
                    yield cut
                elif cut and (self._newline == "any" or "!" <= text[cut - 1] <= "~"):
                    yield cut + 1
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
    if _drop_space(tokens) or any(token.text.strip("\n") for token in having):
        return ""
    return min((token.text for token in having if token.is_user_defined), key=len, default="")


def _ends_lines(tokens: list[SpecialToken], newline: Newline, is_exact: IsExact) -> bool:
    """Return whether nothing is merged across a newline that a letter or digit follows."""
    is_within = any(_LINE_END.search(token.text) for token in tokens)
    if newline == "joined" or is_within or _drop_space(tokens):
        return False
    ends = _LINE_ENDS if newline == "any" else _LINE_ENDS[:4]
    return all(is_exact(end, begin) for end in ends for begin in _LINE_BEGINS)


def _drop_space(tokens: list[SpecialToken]) -> bool:
    return any(token.strips_before or token.strips_after for token in tokens)


def _is_proven(text: str, is_exact: IsExact) -> bool:
    return all(is_exact(before, text + after) for before in _BEFORE for after in _AFTER)
