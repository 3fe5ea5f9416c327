"""Owns the events of one request on their way from the engine's socket to its handler.

Lighter than `asyncio.Queue`: one reader, and all that has arrived is taken at once.
"""

from __future__ import annotations

import asyncio
from enum import Enum, auto

from app.protocol import RequestEvent


class Mark(Enum):
    """What a mailbox holds besides events."""

    SILENCE = auto()
    GONE = auto()
    STOP = auto()


class Mailbox:
    """Events in order of arrival."""

    def __init__(self) -> None:
        self._items: list[RequestEvent | Mark] = []
        self._waiter: asyncio.Future[None] | None = None

    def put(self, item: RequestEvent | Mark) -> None:
        """Add an event or a mark."""
        self._items.append(item)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def take(self) -> list[RequestEvent | Mark]:
        """Return all that has arrived; waits for the first."""
        while not self._items:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        items, self._items = self._items, []
        return items
