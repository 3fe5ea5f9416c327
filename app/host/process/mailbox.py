"""Owns the queue that carries one request's events from the engine's socket to its handler.

Lighter than `asyncio.Queue`: one reader, and each read takes everything that has arrived.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from enum import Enum, auto

from app.errors import EngineDied, ServiceStopping
from app.host.process.idle_timer import IdleTimer
from app.protocol import RequestEvent


class Sentinel(Enum):
    """What a mailbox carries besides events."""

    IDLE = auto()
    ENGINE_EXITED = auto()
    SERVICE_STOPPING = auto()


class Mailbox:
    """Events in order of arrival."""

    def __init__(self) -> None:
        self._items: list[RequestEvent | Sentinel] = []
        self._waiter: asyncio.Future[None] | None = None

    def put(self, item: RequestEvent | Sentinel) -> None:
        """Append an event or a sentinel."""
        self._items.append(item)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def take(self) -> list[RequestEvent | Sentinel]:
        """Return everything that has arrived; wait for the first item."""
        while not self._items:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        items, self._items = self._items, []
        return items

    async def batches(self, idle_s: float | None) -> AsyncGenerator[list[RequestEvent], None]:
        """Yield events as they arrive, and an empty list after every `idle_s` seconds without any.

        Raises:
            EngineDied: the engine exited.
            ServiceStopping: the service stops.
        """
        timer = IdleTimer(idle_s, lambda: self.put(Sentinel.IDLE)) if idle_s else None
        try:
            while True:
                items = await self.take()
                if timer:
                    timer.reset()
                events = [item for item in items if not isinstance(item, Sentinel)]
                if events or Sentinel.IDLE in items:
                    yield events
                if Sentinel.ENGINE_EXITED in items:
                    raise EngineDied("The engine process exited while processing this request")
                if Sentinel.SERVICE_STOPPING in items:
                    raise ServiceStopping("The service is shutting down")
        finally:
            if timer:
                timer.close()
