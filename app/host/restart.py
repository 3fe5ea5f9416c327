"""Owns restarting the engine after a crash: backoff, and the requests that wait for it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator

from app.errors import QueueFull, ServiceStopping, reason_of, unforeseen
from app.host.loader import Loader
from app.host.serving import Serving, Status
from app.logs import get_logger

_STABLE_AFTER_S = 60.0
_RETRY_AFTER_S = 1
_FIRST_DELAY_S = 0.5
_MAX_DELAY_S = 30.0
_FAIL_FAST_AFTER = 3

log = get_logger("supervisor")


class Backoff:
    """Exponential backoff: no delay after a stable engine, a longer one after each other."""

    def __init__(self) -> None:
        self._next_delay_s = 0.0
        self._n_failures = 0

    @property
    def is_failing(self) -> bool:
        """Whether so many restarts have failed that requests should not wait for the next."""
        return self._n_failures >= _FAIL_FAST_AFTER

    def begin(self, *, was_stable: bool) -> None:
        """Start over; an engine that was stable is restarted without a delay."""
        self._n_failures = 0
        if was_stable:
            self._next_delay_s = 0.0

    def record_failure(self) -> None:
        """Count a restart that failed."""
        self._n_failures += 1

    def next_delay_s(self) -> float:
        """Return the seconds to wait before the next restart."""
        delay_s = self._next_delay_s
        self._next_delay_s = min(_MAX_DELAY_S, max(_FIRST_DELAY_S, 2.0 * delay_s))
        return delay_s


class EngineRestart:
    """Loads a model again until it serves.

    Args:
        loader: starts engines.
        status: the service's state.
        lock: serializes loads.
        sleep: replaces `asyncio.sleep` in tests.
    """

    def __init__(
        self,
        loader: Loader,
        status: Status,
        lock: asyncio.Lock,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._loader = loader
        self._status = status
        self._lock = lock
        self._backoff = Backoff()
        self._n_waiting = 0
        self._sleep = sleep

    def begin(self, dead: Serving) -> None:
        """Record that an engine has exited and is being restarted."""
        is_old = time.monotonic() - dead.since_s > _STABLE_AFTER_S
        self._backoff.begin(was_stable=dead.engine.has_generated or is_old)
        self._status.begin_restart(dead.name, dead.engine.exit_reason)

    async def run(self, dead: Serving) -> None:
        """Load the model again until it or another one serves.

        Every failure is followed by another attempt after a longer delay.
        """
        while self._status.name != "stopping":
            await self._sleep(self._backoff.next_delay_s())
            async with self._lock:  # not during the delay, so that another model can be loaded
                if self._status.serving is not None:
                    return
                self._status.record_restart()
                try:
                    self._status.serve(await self._loader.load(dead.plan))
                except ServiceStopping:
                    return
                except Exception as error:
                    self._record_failure(dead, error)
                else:
                    return

    def _record_failure(self, dead: Serving, error: Exception) -> None:
        self._backoff.record_failure()
        reason = reason_of(error)
        self._status.record_restart_failure(reason)
        log.error(
            "engine_restart_failed",
            model=dead.name,
            error=reason,
            exc_info=unforeseen(error),
        )

    async def queue_for_restart(self) -> Serving:
        """Wait for a restart in progress, as one of at most `max_queue` requests.

        Raises:
            QueueFull: too many requests wait already.
            EngineUnavailable, NoModelLoaded, ServiceStopping: no model will serve soon.
        """
        if self._status.name != "restarting":
            return await self.done()
        with self.waiter_slot():
            return await self.done()

    @contextlib.contextmanager
    def waiter_slot(self) -> Iterator[None]:
        """Count the caller as a waiting request.

        Raises:
            QueueFull: too many requests wait already.
        """
        if self._n_waiting >= self._loader.queue.max_queue:
            raise QueueFull(_RETRY_AFTER_S)
        self._n_waiting += 1
        try:
            yield
        finally:
            self._n_waiting -= 1

    async def done(self) -> Serving:
        """Wait until a model serves again.

        Raises:
            EngineUnavailable, NoModelLoaded, ServiceStopping: no model will serve soon.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._loader.timeouts.load_timeout_s):
                while self._status.serving is None and self._is_worth_waiting:
                    await self._status.changed()
        serving = self._status.serving
        if serving is None or self._status.name == "stopping":
            raise self._status.refusal()
        return serving

    @property
    def _is_worth_waiting(self) -> bool:
        return self._status.name == "restarting" and not self._backoff.is_failing
