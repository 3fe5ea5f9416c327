"""Owns what a vocabulary says about one of its special tokens."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SpecialToken:
    """A control token, which a text means only where special tokens are parsed.

    Args:
        text: what stands for it, such as `<|im_end|>`.
        strips_before: whitespace before it is dropped when it is parsed.
        strips_after: whitespace after it is dropped when it is parsed.
    """

    text: str
    strips_before: bool = False
    strips_after: bool = False
