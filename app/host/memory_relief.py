"""Owns the reaction to memory pressure: engines evict what they can recompute; models stay."""

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
from app.device.memory_pressure import PressureSource
from app.errors import EngineDied
from app.host.memory_estimate import available_bytes
from app.host.supervisor import Supervisor
from app.logs import get_logger
from app.protocol import MemoryTrimmed, TrimMemory

_MIN_INTERVAL_S = 5.0
_CLEAR_AFTER_S = 60.0

log = get_logger("memory")


class PressureWatch:
    """Waits for pressure signals in a thread and reacts in the event loop.

    Args:
        find_source: returns the source of signals, owned by this object; None disables the watch.
        relieve: the reaction; not started again while it runs, nor within `min_interval_s`.
    """

    def __init__(
        self,
        find_source: Callable[[], PressureSource | None],
        relieve: Callable[[], Coroutine[Any, Any, None]],
        *,
        min_interval_s: float = _MIN_INTERVAL_S,
    ) -> None:
        self._find_source = find_source
        self._source: PressureSource | None = None
        self._relieve = relieve
        self._min_interval_s = min_interval_s
        self._thread: threading.Thread | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopping = -1

    def start(self) -> None:
        """Start to wait for signals; needs a running event loop."""
        self._source = self._find_source()
        if self._source is None:
            return
        self._stopping = os.eventfd(0, os.EFD_CLOEXEC)
        arguments = (self._source, asyncio.get_running_loop())
        self._thread = threading.Thread(
            target=self._wait_for_signals, args=arguments, name="memory-pressure", daemon=True
        )
        self._thread.start()

    async def stop(self) -> None:
        """Stop the thread."""
        if self._thread is None or self._source is None:
            return
        os.eventfd_write(self._stopping, 1)
        await asyncio.to_thread(self._thread.join)
        self._thread = None
        os.close(self._stopping)
        self._source.close()
        if self._task is not None:
            self._task.cancel()

    def _wait_for_signals(self, source: PressureSource, loop: asyncio.AbstractEventLoop) -> None:
        last_s = -math.inf  # monotonic time may start at 0 at boot
        while source.wait(self._stopping):
            now_s = time.monotonic()
            if now_s - last_s >= self._min_interval_s:
                last_s = now_s
                loop.call_soon_threadsafe(self._start_relief)

    def _start_relief(self) -> None:
        if self._task is None or self._task.done():
            self._task = start_task(self._relieve(), context=Context())


class MemoryRelief:
    """Has engines evict idle conversations, and logs each episode of pressure once."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._episode = Episode(_CLEAR_AFTER_S)

    async def __call__(self) -> None:
        """Evict them."""
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
        self._episode.update(now_s, is_active=False)
        if self._episode.update(now_s, is_active=True) or n_bytes:
            log.warning(
                "memory_pressure",
                freed_bytes=n_bytes,
                freed_entries=n_entries,
                available_bytes=available_bytes(),
            )
