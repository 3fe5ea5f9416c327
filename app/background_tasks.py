"""Owns work that goes on whoever waits for it; must not know what it is."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextvars import Context
from typing import Any, TypeVar

from app.logs import get_logger

Result = TypeVar("Result")

log = get_logger("background")


def start_task(
    work: Coroutine[Any, Any, Result], *, context: Context | None = None
) -> asyncio.Task[Result]:
    """Begin work that nobody waits for; an error that ends it is logged.

    The event loop keeps no hold of it, so the caller has to.

    Args:
        context: what its log lines are bound to; None is what the caller's are.
    """
    task = asyncio.create_task(work, context=context)
    task.add_done_callback(log_failure)
    return task


def log_failure(task: asyncio.Task[Any]) -> None:
    """Log the error that a task has ended with, if there is one."""
    error = None if task.cancelled() else task.exception()
    if error is not None:
        name = getattr(task.get_coro(), "__qualname__", task.get_name())
        log.error("background_task_failed", task=name, error=str(error), exc_info=error)


class WorkEnded(Exception):
    """Work was cancelled while somebody waited for it."""


class BackgroundWork:
    """The tasks that are under way."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def is_under_way(self) -> bool:
        """Whether there is any."""
        return bool(self._tasks)

    def start(self, work: Coroutine[Any, Any, Any]) -> None:
        """Begin work that nobody waits for; an error that ends it is logged."""
        self._keep(start_task(work, context=Context()))  # its log lines are of no request

    async def outcome(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Wait for work that goes on though the caller goes away; then its error is logged.

        Raises:
            WorkEnded: the work was cancelled, not the caller.
        """
        task = asyncio.create_task(work, context=Context())
        self._keep(task)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise WorkEnded from None
            task.add_done_callback(log_failure)
            raise

    def _keep(self, task: asyncio.Task[Any]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

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
