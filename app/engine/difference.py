"""Owns showing where a prompt leaves what is cached; must not know llama.cpp or the cache."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from app.engine.sequences import common_prefix


@dataclass(frozen=True, slots=True)
class Difference:
    """The place where two lists of tokens part.

    Args:
        index: of the first token that differs.
        before: text of the shared tokens just before it.
        prompt: text of the prompt's tokens from there on.
        cached: text of the cached tokens from there on.
    """

    index: int
    before: str
    prompt: str
    cached: str


def first_difference(prompt: Sequence[int], candidate: Sequence[int]) -> int:
    """Return the index of the first token that differs, or the shorter length if none does."""
    return common_prefix(list(prompt), list(candidate))


def explain(
    prompt: Sequence[int],
    candidate: Sequence[int],
    render: Callable[[list[int]], str],
    span: int = 12,
) -> Difference | None:
    """Return where `prompt` leaves `candidate`; None where one is the beginning of the other.

    Args:
        prompt: tokens that were asked for.
        candidate: tokens that were cached.
        render: shows tokens as text, special ones too.
        span: tokens to show of each side.
    """
    index = first_difference(prompt, candidate)
    if index == min(len(prompt), len(candidate)):
        return None
    return Difference(
        index=index,
        before=render(list(prompt[max(0, index - span) : index])),
        prompt=render(list(prompt[index : index + span])),
        cached=render(list(candidate[index : index + span])),
    )
