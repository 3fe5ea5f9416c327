"""Owns what a vocabulary says about one of the tokens that texts are split at."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class SpecialToken:
    """A token whose text is looked for before a text is tokenised.

    A control token is found only where special tokens are parsed, a user-defined one always.

    Args:
        text: what stands for it, such as `<|im_end|>`.
        strips_before: whitespace before it is dropped when it is parsed.
        strips_after: whitespace after it is dropped when it is parsed.
        is_user_defined: it is no control token.
    """

    text: str
    strips_before: bool = False
    strips_after: bool = False
    is_user_defined: bool = False


Newline = Literal["joined", "single", "any"]
"""Which newlines before an ASCII letter or digit are not merged with it: none, one, any number."""


@dataclass(frozen=True, slots=True)
class SplitRules:
    """Where a tokeniser splits texts before it merges anything.

    Args:
        tokens: all whose text is looked for.
        newline: what is known of newlines outside such texts; a single one follows a printable
            ASCII character.
    """

    tokens: Iterable[SpecialToken]
    newline: Newline = "joined"
