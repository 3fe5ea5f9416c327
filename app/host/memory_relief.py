"""Owns what the service does when memory is short: engines drop what they can do without."""

from __future__ import annotations

import asyncio
import math
import os
import secrets
import threading
import time
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any

from app.background_tasks import start_task
from app.device.episode import Episode
from app.device.memory_pressure import Source
from app.errors import EngineDied
from app.host.memory_estimate import available_bytes
from app.host.supervisor import Supervisor
from app.logs import get_logger
from app.protocol import MemoryTrimmed, TrimMemory

_REST_S = 5.0
_CALM_S = 60.0

log = get_logger("memory")


class PressureWatch:
    """Listens in a thread of its own and calls back in the event loop.

    Args:
        find_source: returns what tells of short memory, which this object closes; None: nothing.
        relieve: what to do then; it is not called again before it is done, nor within `rest_s`.
    """

    def __init__(
        self,
        find_source: Callable[[], Source | None],
        relieve: Callable[[], Coroutine[Any, Any, None]],
        *,
        rest_s: float = _REST_S,
    ) -> None:
        self._find_source = find_source
        self._source: Source | None = None
        self._relieve = relieve
        self._rest_s = rest_s
        self._thread: threading.Thread | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopping = -1

    def start(self) -> None:
        """Begin to listen; needs a running event loop."""
        self._source = self._find_source()
        if self._source is None:
            return
        self._stopping = os.eventfd(0, os.EFD_CLOEXEC)
        arguments = (self._source, asyncio.get_running_loop())
        self._thread = threading.Thread(
            target=self._listen, args=arguments, name="memory-pressure", daemon=True
        )
        self._thread.start()

    async def stop(self) -> None:
        """Listen no more."""
        if self._thread is None or self._source is None:
            return
        os.eventfd_write(self._stopping, 1)
        await asyncio.to_thread(self._thread.join)
        self._thread = None
        os.close(self._stopping)
        self._source.close()
        if self._task is not None:
            self._task.cancel()

    def _listen(self, source: Source, loop: asyncio.AbstractEventLoop) -> None:
        last_s = -math.inf  # monotonic time may begin at 0 when the device starts
        while source.wait(self._stopping):
            now_s = time.monotonic()
            if now_s - last_s >= self._rest_s:
                last_s = now_s
                loop.call_soon_threadsafe(self._notice)

    def _notice(self) -> None:
        if self._task is None or self._task.done():
            self._task = start_task(self._relieve(), context=Context())


class MemoryRelief:
    """Has engines drop what they can do without, and says so without repeating itself."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._shortage = Episode(_CALM_S)

    async def __call__(self) -> None:
        """Drop it."""
        n_entries = n_bytes = 0
        for serving in self._supervisor.loaded:
            command = TrimMemory(request_id=f"trim-{secrets.token_hex(8)}")
            try:
                answer = await serving.engine.ask(command, command.request_id)
            except EngineDied:
                continue
            if isinstance(answer, MemoryTrimmed):
                n_entries += answer.entries
                n_bytes += answer.bytes
        now_s = time.monotonic()
        self._shortage.update(now_s, is_there=False)
        if self._shortage.update(now_s, is_there=True) or n_bytes:
            log.warning(
                "memory_pressure",
                freed_bytes=n_bytes,
                freed_entries=n_entries,
                available_bytes=available_bytes(),
            )
