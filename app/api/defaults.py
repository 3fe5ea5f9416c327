"""Owns what a request gets that does not say otherwise; the values are settings."""

from __future__ import annotations

from dataclasses import dataclass, field

from app.protocol import ReasoningParams, SamplingParams


@dataclass(frozen=True, slots=True)
class Defaults:
    """What chat requests get.

    Args:
        max_tokens: tokens an answer may have; None is no limit.
        speculate: whether tokens are guessed ahead.
    """

    sampling: SamplingParams
    max_tokens: int | None = None
    reasoning: ReasoningParams = field(default_factory=ReasoningParams)
    speculate: bool = True
