"""Owns the plan that a guide follows; must not know how."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

from app.chat.parsing.reasoning_tags import N_QUOTE_CHARS


class AnswerMatcher(Protocol):
    """A grammar's state in one answer; see `app.engine.constrain.matcher`."""

    @property
    def is_over(self) -> bool:
        """Whether the grammar admits nothing more."""

    @property
    def error(self) -> str:
        """Why the matcher gave up; empty where it did not."""

    def copy(self) -> AnswerMatcher:
        """Return a matcher in the same state."""

    def mask(self) -> bytes:
        """Return which tokens may come next, a bit each."""

    def take(self, token: int) -> None:
        """Note that a token was chosen."""

    def take_text(self, data: bytes) -> bool:
        """Note that text was written, if the grammar admits it."""

    def take_forced(self) -> list[int]:
        """Return and note the tokens that have to come next."""

    def n_allowed(self, tokens: Sequence[int]) -> int:
        """Return how many of these tokens may come next."""


@dataclass(frozen=True)
class ThinkingPlan:
    """How the model thinks before it answers.

    Attributes:
        opening: bytes of the tag before it.
        closing: bytes of the tag after it.
        opening_token: the token that the opening tag is, or begins with; None: no thoughts may
            begin where the answer is held to a grammar.
        end: tokens that end it, for a model that has thought enough.
        gap: tokens between it and an answer that is held to a grammar.
        is_open: whether the prompt ends within it.
        also_end: further tags that end it, and belong to what follows.
        opening_rest: the other tokens of the opening tag.
        budget: tokens of it; None is no limit.
        block: the grammar of tool calls that may begin in it, and then end it; None: they are
            free, or there are none.
    """

    opening: bytes
    closing: bytes
    opening_token: int | None
    end: tuple[int, ...]
    gap: tuple[int, ...]
    is_open: bool
    also_end: tuple[bytes, ...] = ()
    opening_rest: tuple[int, ...] = ()
    budget: int | None = None
    block: Block | None = None

    @cached_property
    def n_tail(self) -> int:
        """How many bytes of it matter to what comes next."""
        tags = [self.closing, *self.also_end]
        if self.block is None:
            return max(map(len, tags))
        return max(self.block.n_tail, *map(len, tags)) + N_QUOTE_CHARS


@dataclass(frozen=True)
class Block:
    """How a block of tool calls is held to its grammar once it has begun.

    Attributes:
        trigger: bytes that begin it.
        matcher: at the beginning of what follows them.
        only_at_start: the trigger counts only where the answer begins with it.
        is_last: the answer ends with the first block.
        only_behind: the trigger counts only directly behind a block.
        also: blocks with other triggers, which have no such blocks themselves.
    """

    trigger: bytes
    matcher: AnswerMatcher
    only_at_start: bool = False
    is_last: bool = False
    only_behind: bool = False
    also: tuple[Block, ...] = ()

    @cached_property
    def anywhere(self) -> dict[bytes, Block]:
        """Those that may begin anywhere, by their triggers."""
        known = (self, *self.also)
        return {one.trigger: one for one in known if not (one.only_at_start or one.only_behind)}

    @cached_property
    def at_start(self) -> tuple[Block, ...]:
        """Those that an answer may begin with."""
        return tuple(one for one in (self, *self.also) if one.only_at_start)

    @cached_property
    def behind(self) -> tuple[Block, ...]:
        """Those that may follow another one directly."""
        return tuple(one for one in self.also if one.only_behind)

    @cached_property
    def pattern(self) -> re.Pattern[bytes]:
        """Matches the triggers that may stand anywhere, the longest where several do."""
        longest_first = sorted(self.anywhere, key=len, reverse=True)
        return re.compile(b"|".join(map(re.escape, longest_first)) or rb"(?!)")

    @cached_property
    def n_tail(self) -> int:
        """How many bytes of a text may belong to a trigger that has begun anywhere in it."""
        return max(map(len, self.anywhere), default=1)


@dataclass(frozen=True)
class MessageThinking:
    """How long the model thinks, in messages of their own, and what ends that.

    Attributes:
        opening: bytes of the head of such a message.
        closing: bytes of what ends it.
        between: bytes from there to the head of the next message.
        head: bytes of the head of the answer's text.
        heads: the grammar of what may begin instead; None: nothing.
        budget: tokens of thoughts.
        is_open: whether the prompt ends within such a message.
    """

    opening: bytes
    closing: bytes
    between: bytes
    head: bytes
    budget: int
    heads: AnswerMatcher | None = None
    is_open: bool = False


@dataclass(frozen=True)
class GuidePlan:
    """What is made once for all answers to a request.

    Attributes:
        piece: returns the bytes of a token, those of tags too.
        tokenize: returns the tokens of bytes.
        whole: the grammar of the whole answer, at its beginning; None: it is free.
        block: the grammar of tool calls in a free answer; None: they are free too.
        thinking: None where the model does not think, or nobody needs to know.
        messages: the same of a model that thinks in messages of their own.
        fast_forward: whether forced tokens are taken without asking the model.
    """

    piece: Callable[[int], bytes]
    tokenize: Callable[[bytes], list[int]]
    whole: AnswerMatcher | None = None
    block: Block | None = None
    thinking: ThinkingPlan | None = None
    messages: MessageThinking | None = None
    fast_forward: bool = True


@dataclass(frozen=True, slots=True)
class GuidedTokens:
    """Tokens to append after a sampled one.

    Attributes:
        tokens: what comes next in the answer; the chosen token, unless only the beginning of it
            could be used, and those that have to follow.
        is_over: nothing may follow.
    """

    tokens: list[int] = field(default_factory=list)
    is_over: bool = False
