"""Owns what plans say of thoughts: where they begin and end, how long they may be.

Must not know tools or constraints.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from typing import Protocol

from app.chat.grammar.lark import Grammar, sequence
from app.chat.parsing.reasoning_tags import ReasoningTags, opens_reasoning
from app.chat.tool_formats import ToolFormat
from app.engine.constrain import Block, Matcher, MessageThinking, ThinkingPlan
from app.protocol import Generate

_GAP = b"\n\n"  # what nearly every template writes between thoughts and answer

_NO_LIMIT = 2**31


class Tokens(Protocol):
    """What guidance needs of a model's vocabulary."""

    def shown_piece(self, token: int, /) -> bytes:
        """Return the bytes of a token, those of special ones too."""

    def token_of(self, text: str, /) -> int | None:
        """Return the token that a tag is; None where it is several."""

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        """Return the token ids of `text`."""


def text_tokenizer(tokens: Tokens) -> Callable[[bytes], list[int]]:
    """Return what tokenises a part of an answer; the tags in it are the tokens they are."""

    def tokenize(text: bytes) -> list[int]:
        shown = text.decode("utf-8", "replace")
        return tokens.tokenize(shown, add_special=False, parse_special=True)

    return tokenize


class _Place(Enum):
    HEAD = auto()  # at the opening of an answer
    THOUGHTS = auto()  # within the thoughts of one
    TEXT = auto()  # within its text


class Thoughts:
    """The thoughts in the answers to one command.

    Args:
        tokens: the model's vocabulary.
        tool_format: how the model writes answers.
        reasoning: what stands around its thoughts, if they are no messages of their own.
        command: the command.
        prompt_text: its prompt as the template wrote it.
    """

    def __init__(
        self,
        tokens: Tokens,
        tool_format: ToolFormat,
        reasoning: ReasoningTags | None,
        command: Generate,
        prompt_text: str,
    ) -> None:
        self.tokenize = text_tokenizer(tokens)
        self._tokens = tokens
        self._format = tool_format
        self._tags = reasoning
        asked = command.reasoning
        is_unlimited = asked.budget is None and asked.is_controlled
        self._budget = _NO_LIMIT if is_unlimited else asked.budget
        self._prompt_text = prompt_text
        self._place = self._place_of(goes_on=command.prompt_end.startswith("continued"))

    def _place_of(self, *, goes_on: bool) -> _Place:
        messages = self._format.thoughts
        tags = messages.tags if messages is not None else self._tags
        if tags is not None and opens_reasoning(self._prompt_text, tags, goes_on=goes_on):
            return _Place.THOUGHTS
        return _Place.TEXT if goes_on else _Place.HEAD

    def tagged(self, block: Block | None) -> ThinkingPlan | None:
        """Return the plan of thoughts between tags; None without any.

        Args:
            block: the calls that may begin in them.
        """
        tags = self._tags
        if tags is None or self._place is _Place.TEXT:
            return None
        if self._prompt_text.rstrip().endswith(tags.closing):
            return None
        gap = self.tokenize(_GAP)
        opening = self.tokenize(tags.opening.encode())
        return ThinkingPlan(
            opening=tags.opening.encode(),
            closing=tags.closing.encode(),
            opening_token=opening[0],
            opening_rest=tuple(opening[1:]),
            end=(*self.tokenize(tags.closing.encode()), *gap),
            gap=tuple(gap),
            is_open=self._place is _Place.THOUGHTS,
            also_end=tuple(tag.encode() for tag in tags.also_end),
            budget=self._budget,
            block=block,
        )

    def in_messages(self, heads: Matcher | None) -> MessageThinking | None:
        """Return how long the model thinks in messages; None without a limit.

        Args:
            heads: what its answer may begin with, if that is not only the head of its text.
        """
        messages = self._format.thoughts
        if messages is None or self._budget is None or self._place is _Place.TEXT:
            return None
        return MessageThinking(
            opening=messages.tags.opening.encode(),
            closing=messages.tags.closing.encode(),
            between=messages.between.encode(),
            head=self._format.header.encode(),
            heads=heads,
            budget=self._budget,
            is_open=self._place is _Place.THOUGHTS,
        )

    def text(self, grammar: Grammar, answer: str) -> str:
        """Return the expression for an answer's text with its head, unless the prompt has that."""
        header = "" if self._place is _Place.TEXT else self._format.header
        return sequence(grammar.literal(header), answer) if header else answer

    def before(self, grammar: Grammar, answer: str) -> str:
        """Return the expression for an answer with the messages of thoughts before it."""
        messages = self._format.thoughts
        if messages is None or self._place is _Place.TEXT:
            return answer
        if self._place is _Place.THOUGHTS:
            return sequence(messages.rest(grammar), answer)
        return answer if self._budget == 0 else sequence(messages(grammar), answer)
