"""Owns work that goes on whoever waits for it; must not know what it is."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextvars import Context
from typing import Any, TypeVar

from app.errors import DistillerError
from app.logs import get_logger

Result = TypeVar("Result")

log = get_logger("supervisor")


class BackgroundWork:
    """The tasks that are under way."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def is_under_way(self) -> bool:
        """Whether there is any."""
        return bool(self._tasks)

    def start(self, work: Coroutine[Any, Any, Result]) -> asyncio.Task[Result]:
        """Begin to work; what nobody expected is logged when it ends."""
        task = asyncio.create_task(work, context=Context())  # its log lines are of no request
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(_log_defect)
        return task

    def cancel(self) -> list[asyncio.Task[Any]]:
        """Have all of it end, and return what was under way."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        return tasks

    async def ended(self) -> None:
        """Wait until nothing is under way, whatever becomes of it."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)


def _log_defect(task: asyncio.Task[Any]) -> None:
    """Log what nobody expected; expected errors reach the request that caused them."""
    error = None if task.cancelled() else task.exception()
    if error is not None and not isinstance(error, DistillerError):
        log.error("supervisor_defect", exc_info=error)
