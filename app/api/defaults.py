"""Owns the defaults of a request's fields, and the limits on them, which are settings."""

from __future__ import annotations

from dataclasses import dataclass, field

from app.protocol import ReasoningParams, SamplingParams


@dataclass(frozen=True, slots=True)
class Defaults:
    """The defaults and limits of requests.

    Args:
        max_tokens: maximum number of generated tokens; None is no limit.
        speculate: whether speculative decoding is used.
        max_tokens_limit: bound on the number of generated tokens, whatever a request asks for;
            None is none.
        stop: strings that end an answer.
    """

    sampling: SamplingParams
    max_tokens: int | None = None
    reasoning: ReasoningParams = field(default_factory=ReasoningParams)
    speculate: bool = True
    max_tokens_limit: int | None = None
    stop: tuple[str, ...] = ()

    def limited(self, max_tokens: int | None) -> int | None:
        """Return how many tokens may be generated where a request asks for `max_tokens`."""
        if self.max_tokens_limit is None or max_tokens is None:
            return self.max_tokens_limit if max_tokens is None else max_tokens
        return min(max_tokens, self.max_tokens_limit)
