"""Owns the defaults of a request's fields, which are settings."""

from __future__ import annotations

from dataclasses import dataclass, field

from app.protocol import ReasoningParams, SamplingParams


@dataclass(frozen=True, slots=True)
class Defaults:
    """The defaults of requests.

    Args:
        max_tokens: maximum number of generated tokens; None is no limit.
        speculate: whether speculative decoding is used.
        stop: strings that end an answer.
    """

    sampling: SamplingParams
    max_tokens: int | None = None
    reasoning: ReasoningParams = field(default_factory=ReasoningParams)
    speculate: bool = True
    stop: tuple[str, ...] = ()
