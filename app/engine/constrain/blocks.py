"""Owns the blocks of calls in an answer: their grammars, and what a guide watches for them.

Must not know commands, nor any format.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from app.chat.grammar.lark import Grammar, TokenOf, sequence
from app.chat.tool_formats.base import CallBlock, Opening, Place, ToolFormat, ToolSpec
from app.chat.tool_formats.refusal import refusal
from app.engine.constrain.matcher import Matcher
from app.engine.constrain.plan import Block


def calls_of(
    known: ToolFormat, grammar: Grammar, tools: Sequence[ToolSpec], one: bool
) -> CallBlock:
    """Return what calls of these tools look like, those of a format that is read beside it too.

    Raises:
        ValueError: they are too much for a grammar, or the format has none.
    """
    if known.block is None:
        raise ValueError(f"calls in the format {known.name} cannot be enforced")
    calls, other = known.block(grammar, tools, one), known.also
    if other is None or other.block is None:
        return calls
    writable = [tool for tool in tools if refusal(other, tool) is None]
    return replace(calls, also=(other.block(grammar, writable, one),)) if writable else calls


def answer_of_calls(grammar: Grammar, calls: CallBlock, *, one: bool) -> str:
    """Return the expression for an answer that is one block of calls, or several."""
    opening = opening_of(calls)
    written = grammar.literal(opening)
    if opening.startswith("{"):  # a lexeme of its own, as in JSON that may come instead
        written = f"{grammar.literal('{')} {grammar.literal(opening[1:])}"
    first = f"{written} {calls.body}"
    if one or calls.only_at_start:
        return first
    further = f"{grammar.literal(calls.between + calls.trigger)} {calls.body}"
    return f"{first} ({further})*"


def opening_of(calls: CallBlock) -> str:
    """Return the text before the body of the first call of an answer that has to be one."""
    return calls.before + ("" if calls.is_begun else calls.trigger)


def head_of(calls: CallBlock) -> str:
    """Return the beginning of that text, up to where a guide takes it for a call."""
    opening = opening_of(calls)
    triggers = [one.trigger for one in openings_of(calls) if one.place is Place.ANYWHERE]
    ends = [opening.index(one) + len(one) for one in triggers if one in opening]
    return opening[: min(ends, default=len(opening))]


def block_of_calls(grammar: Grammar, calls: CallBlock) -> str:
    """Return the expression for a block of calls with its trigger."""
    known = (calls, *calls.also)
    return grammar.either([sequence(grammar.literal(one.trigger), one.body) for one in known])


def openings_of(calls: CallBlock) -> list[Opening]:
    """Return all that begins a block of calls, its trigger first."""
    openings = []
    for one in (calls, *calls.also):
        place = Place.AT_START if one.only_at_start else Place.ANYWHERE
        openings += [Opening(one.trigger, one.trigger, place), *one.openings]
    return openings


class BlockReader:
    """Moves grammars on behind what begins calls.

    Args:
        tags: texts that are tokens where `token_of` says so, as grammars have them.
        token_of: returns the token that a tag is; None where it is several.
    """

    def __init__(self, tags: Sequence[str], token_of: TokenOf) -> None:
        by_length = sorted(filter(None, tags), key=len, reverse=True)
        self._split = re.compile(f"({'|'.join(map(re.escape, by_length))})") if by_length else None
        self._tags = frozenset(tags)
        self._token_of = token_of

    def blocks(self, openings: Iterable[Opening], start: Matcher, *, is_last: bool) -> list[Block]:
        """Return a block for each opening that a grammar knows.

        Args:
            openings: what begins calls.
            start: the grammar, at its beginning.
            is_last: whether the answer ends with a block.
        """
        found = []
        moved: dict[str, Matcher | None] = {}  # by what was read; guides follow copies
        for opening in openings:
            if opening.reads not in moved:
                behind = start.copy()
                moved[opening.reads] = behind if self._has_read(behind, opening.reads) else None
            matcher = moved[opening.reads]
            if matcher is not None:
                block = Block(
                    trigger=opening.trigger.encode(),
                    matcher=matcher,
                    only_at_start=opening.place is Place.AT_START,
                    is_last=is_last,
                    only_behind=opening.place is Place.BEHIND,
                )
                found.append(block)
        return found

    def _has_read(self, matcher: Matcher, text: str) -> bool:
        """Move a matcher on behind `text`; return whether its grammar admits that."""
        for piece in filter(None, self._split.split(text) if self._split else [text]):
            token = self._token_of(piece) if piece in self._tags else None
            if token is None:
                if not matcher.take_text(piece.encode()):
                    return False
            elif matcher.n_allowed([token]):
                matcher.take(token)
            else:
                return False
        return True


def together(blocks: Iterable[Block]) -> Block | None:
    """Return the first of several blocks with the others beside it; None where there is none."""
    alone: dict[bytes, Block] = {}
    for block in blocks:
        alone.setdefault(block.trigger, replace(block, also=()))
    first, *others = alone.values() or [None]
    return None if first is None else replace(first, also=tuple(filter(None, others)))


def within_thoughts(block: Block | None) -> Block | None:
    """Return those of a block and those beside it that may begin in thoughts."""
    return None if block is None else together(block.anywhere.values())
