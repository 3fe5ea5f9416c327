"""Owns what has reached the client of one request, and how another engine goes on behind it.

Pure. An engine that takes a request over replays the tokens that were chosen before, and tells of
them what was told already. That part is taken out of its events here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator

import msgspec

from app.protocol import (
    Accepted,
    Chosen,
    Generate,
    PromptProgress,
    ReasoningDelta,
    RequestEvent,
    Started,
    TextDelta,
    TokenLogprobs,
    TokensGenerated,
    ToolCallDelta,
)

# Of these events a part may be old and a part new; the others are one or the other.
_DIVISIBLE = {
    TextDelta: "text",
    ReasoningDelta: "text",
    TokenLogprobs: "tokens",
    TokensGenerated: "tokens",
    ToolCallDelta: "arguments",
}
# The first new token is told at once, those after it together: what an engine chose and did not
# live to tell is less than what comes with two more of these.
_ENOUGH_TELLINGS = 3


class DeliveredEvents:
    """The events of one request, whichever engines they come from.

    Args:
        command: the request as it was first sent.
    """

    def __init__(self, command: Generate) -> None:
        self._first = command
        self._chosen: list[list[int]] = [[] for _ in range(command.n)]
        self._told: Counter[Hashable] = Counter()
        self._owed: Counter[Hashable] = Counter()
        self._waits = False
        self._had_begun = False
        self._n_tellings = 0
        self.n_deaths = 0

    @property
    def is_suspect(self) -> bool:
        """Whether an engine that dies now may have died of this request; not while it queues."""
        return not self._waits

    @property
    def has_advanced(self) -> bool:
        """Whether this engine is beyond all that the one before it may have done untold."""
        return self._n_tellings >= _ENOUGH_TELLINGS

    @property
    def command(self) -> Generate:
        """What another engine has to be sent to go on with the request."""
        return msgspec.structs.replace(self._first, resumes=[list(each) for each in self._chosen])

    def begin_again(self) -> None:
        """The events that come next are those of another engine."""
        self._owed = self._told.copy()
        self._had_begun = any(self._chosen)
        self._waits, self._n_tellings = False, 0

    def news(self, events: Iterable[RequestEvent]) -> list[RequestEvent]:
        """Return what of some events the client has not been told yet."""
        found: list[RequestEvent] = []
        has_chosen = False
        for event in events:
            match event:
                case Accepted():
                    self._waits = True
                case Chosen():
                    self._chosen[event.choice] += event.tokens
                    has_chosen = True
                case Started():
                    self._waits = False
                    found.append(event)
                case _:
                    found.append(event)
        self._n_tellings += has_chosen
        if self._owed:
            found = list(self._behind_the_old(found))
        for event in found:
            if not isinstance(event, PromptProgress):
                self._told[_kind(event)] += _size(event)
        return found

    def _behind_the_old(self, events: Iterable[RequestEvent]) -> Iterator[RequestEvent]:
        for event in events:
            kind, size = _kind(event), _size(event)
            n_old = min(self._owed[kind], size)
            self._owed[kind] -= n_old
            if n_old:
                if n_old < size:
                    field = _DIVISIBLE[type(event)]
                    yield msgspec.structs.replace(event, **{field: getattr(event, field)[n_old:]})
            elif not (isinstance(event, PromptProgress) and self._had_begun):
                yield event


def _kind(event: RequestEvent) -> Hashable:
    """Return what an event is a piece of."""
    return type(event), getattr(event, "choice", 0), getattr(event, "index", 0)


def _size(event: RequestEvent) -> int:
    field = _DIVISIBLE.get(type(event))
    return len(getattr(event, field)) if field else 1
