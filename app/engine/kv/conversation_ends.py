"""Owns which conversations in memory wait to be written to the disk; knows no bytes of them."""

from __future__ import annotations

import time
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

_MAX_ENDS = 256


@dataclass(slots=True, eq=False)
class ConversationEnd:
    """Where a conversation ended that memory holds.

    Args:
        tokens: all that later prompts of this conversation can begin with.
        since_s: when it went idle, in seconds of the monotonic clock.
        was_offered: whether the disk tier has been asked to take it.
        retry_s: after how long it was asked again the last time; 0.0 for never.
    """

    tokens: array[int]
    since_s: float = field(default_factory=time.monotonic)
    was_offered: bool = False
    retry_s: float = 0.0


class ConversationEnds:
    """The ends, the oldest first; one that another goes on from is forgotten."""

    def __init__(self) -> None:
        self._ends: list[ConversationEnd] = []

    def __iter__(self) -> Iterator[ConversationEnd]:
        return iter(list(self._ends))

    def __len__(self) -> int:
        return len(self._ends)

    def add(self, tokens: Sequence[int]) -> None:
        """Note an end, unless a conversation is known that goes on from there."""
        added = array("i", tokens)
        if any(_begins(other.tokens, added) for other in self._ends):
            return
        self._ends = [other for other in self._ends if not _begins(added, other.tokens)]
        self._ends.append(ConversationEnd(added))
        del self._ends[:-_MAX_ENDS]

    def go_on_from(self, tokens: Sequence[int]) -> bool:
        """Whether one of the ends is further on than these tokens, which it begins with."""
        begun = array("i", tokens)
        return any(len(e.tokens) > len(begun) and _begins(e.tokens, begun) for e in self._ends)

    def clear(self) -> None:
        """Forget all."""
        self._ends.clear()


def _begins(longer: array[int], shorter: array[int]) -> bool:
    end = len(shorter)
    return not end or (longer[end - 1 : end] == shorter[-1:] and longer[:end] == shorter)
