"""Owns showing where a prompt leaves what is cached; must not know llama.cpp or the cache."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from app.base.prefix import common_prefix
from app.protocol import CacheMiss


def explain(
    prompt: Sequence[int],
    candidate: Sequence[int],
    render: Callable[[list[int]], str],
    span: int = 12,
) -> CacheMiss | None:
    """Return where `prompt` leaves `candidate`; None where one is the beginning of the other.

    Args:
        prompt: tokens that were asked for.
        candidate: tokens that were cached.
        render: shows tokens as text, special ones too.
        span: tokens to show of each side.
    """
    index = common_prefix(list(prompt), list(candidate))
    if index == min(len(prompt), len(candidate)):
        return None
    return CacheMiss(
        index=index,
        before=render(list(prompt[max(0, index - span) : index])),
        prompt=render(list(prompt[index : index + span])),
        cached=render(list(candidate[index : index + span])),
    )
