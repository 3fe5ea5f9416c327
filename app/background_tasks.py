"""Owns background tasks; must not know what they do."""

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
    """Start a task that is not awaited; its exception is logged.

    The event loop holds only a weak reference, so the caller must keep the task.

    Args:
        context: the task's context, such as fields bound to its log records; None is the caller's.
    """
    task = asyncio.create_task(work, context=context)
    task.add_done_callback(log_failure)
    return task


def log_failure(task: asyncio.Task[Any]) -> None:
    """Log a task's exception, if it has one."""
    error = None if task.cancelled() else task.exception()
    if error is not None:
        name = getattr(task.get_coro(), "__qualname__", task.get_name())
        log.error("background_task_failed", task=name, error=str(error), exc_info=error)


class WorkEnded(Exception):
    """Work was cancelled while a caller awaited it."""


class BackgroundWork:
    """A set of running tasks."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def is_running(self) -> bool:
        """Whether a task is running."""
        return bool(self._tasks)

    def start(self, work: Coroutine[Any, Any, Any]) -> None:
        """Start a task that is not awaited; its exception is logged."""
        self._keep(start_task(work, context=Context()))  # its log records belong to no request

    async def outcome(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Await work that survives the caller's cancellation; then its exception is logged.

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
        """Cancel all tasks and return them."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        return tasks

    async def ended(self) -> None:
        """Wait until no task is running, ignoring exceptions."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
