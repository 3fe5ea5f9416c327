"""Owns which answers are being generated that clients may control, and whose they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from app.protocol import Generate


@dataclass(frozen=True, slots=True)
class RunningAnswer:
    """An answer that is being generated.

    Args:
        owner: name of the API key that its client sent; empty for none.
        request_ids: those of its commands.
    """

    owner: str
    request_ids: tuple[str, ...]


class RunningAnswers:
    """The answers whose reasoning may be ended, by their ids."""

    def __init__(self) -> None:
        self._answers: dict[str, RunningAnswer] = {}

    @contextmanager
    def note(self, reply_id: str, owner: str, commands: Sequence[Generate]) -> Iterator[None]:
        """Know an answer for as long as this lasts."""
        request_ids = tuple(command.request_id for command in commands)
        self._answers[reply_id] = RunningAnswer(owner, request_ids)
        try:
            yield
        finally:
            del self._answers[reply_id]

    def find(self, reply_id: str, owner: str) -> RunningAnswer | None:
        """Return an answer of the client with this key."""
        found = self._answers.get(reply_id)
        return found if found is not None and found.owner == owner else None
