"""Owns which events of a request its client has received, and removes duplicates after a retry.

Pure. An engine that resumes a request replays the tokens chosen so far and sends the events of
those tokens again. Those events are dropped here.
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

# Events that may be partly delivered; all others are delivered whole or not at all.
_DIVISIBLE = {
    TextDelta: "text",
    ReasoningDelta: "text",
    TokenLogprobs: "tokens",
    TokensGenerated: "tokens",
    ToolCallDelta: "arguments",
}
# An engine reports its first new token at once and later ones in batches: after three batches it
# is past every token that the crashed engine may have chosen without reporting it.
_ADVANCED_BATCHES = 3


class DeliveredEvents:
    """The events of one request, across the engines that run it.

    Args:
        command: the request as it was first sent.
    """

    def __init__(self, command: Generate) -> None:
        self._first = command
        self._chosen: list[list[int]] = [[] for _ in range(command.n)]
        self._delivered: Counter[Hashable] = Counter()
        self._to_skip: Counter[Hashable] = Counter()
        self._is_queued = False
        self._had_output = False
        self._is_accepted = False
        self._n_chosen_batches = 0

    @property
    def is_crash_suspect(self) -> bool:
        """Whether this request can crash its engine now; a queued one cannot."""
        return not self._is_queued

    @property
    def has_advanced(self) -> bool:
        """Whether this engine is past everything that the previous one may have computed."""
        return self._n_chosen_batches >= _ADVANCED_BATCHES

    @property
    def command(self) -> Generate:
        """The command that makes another engine resume the request."""
        return msgspec.structs.replace(self._first, resumes=[list(each) for each in self._chosen])

    def start_attempt(self) -> None:
        """Expect the events of another engine from now on."""
        self._to_skip = self._delivered.copy()
        self._had_output = any(self._chosen)
        self._is_queued, self._n_chosen_batches = False, 0

    def new_events(self, events: Iterable[RequestEvent]) -> list[RequestEvent]:
        """Return the events, or parts of them, that the client has not received yet."""
        found: list[RequestEvent] = []
        has_chosen = False
        for event in events:
            match event:
                case Accepted():
                    self._is_queued = True
                    if not self._is_accepted:
                        self._is_accepted = True
                        found.append(event)
                case Chosen():
                    self._chosen[event.choice] += event.tokens
                    has_chosen = True
                case Started():
                    self._is_queued = False
                    found.append(event)
                case _:
                    found.append(event)
        self._n_chosen_batches += has_chosen
        if self._to_skip:
            found = list(self._skip_delivered(found))
        for event in found:
            if not isinstance(event, Accepted | PromptProgress):
                self._delivered[_kind(event)] += _size(event)
        return found

    def _skip_delivered(self, events: Iterable[RequestEvent]) -> Iterator[RequestEvent]:
        for event in events:
            kind, size = _kind(event), _size(event)
            n_delivered = min(self._to_skip[kind], size)
            self._to_skip[kind] -= n_delivered
            if n_delivered:
                if n_delivered < size:
                    field = _DIVISIBLE[type(event)]
                    yield msgspec.structs.replace(
                        event, **{field: getattr(event, field)[n_delivered:]}
                    )
            elif not (isinstance(event, PromptProgress) and self._had_output):
                yield event


def _kind(event: RequestEvent) -> Hashable:
    """Return the part of the answer that an event belongs to."""
    return type(event), getattr(event, "choice", 0), getattr(event, "index", 0)


def _size(event: RequestEvent) -> int:
    field = _DIVISIBLE.get(type(event))
    return len(getattr(event, field)) if field else 1
