"""Owns bringing a model back whose engine died, and those who wait for it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator

from app.errors import QueueFull, ServiceStopping, reason_of, unforeseen
from app.host.backoff import Backoff
from app.host.loader import Loader
from app.host.serving import Serving, Status
from app.logs import get_logger

_STABLE_AFTER_S = 60.0
_RETRY_AFTER_S = 1
_RESTARTING = "The engine process ended and is being restarted"

log = get_logger("supervisor")


class EngineRestart:
    """Loads a model again until it serves.

    Args:
        loader: starts engines.
        status: told how it goes.
        lock: held while a model is loaded, by whoever loads it.
        serving: returns the model that serves, if any.
        serve: takes the model that is to serve from now on.
        sleep: waits for so many seconds.
    """

    def __init__(
        self,
        loader: Loader,
        status: Status,
        lock: asyncio.Lock,
        *,
        serving: Callable[[], Serving | None],
        serve: Callable[[Serving], None],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._loader = loader
        self._status = status
        self._lock = lock
        self._serving = serving
        self._serve = serve
        self._backoff = Backoff()
        self._n_waiting = 0
        self._sleep = sleep

    def begin(self, dead: Serving) -> None:
        """Say that an engine died and is being replaced."""
        if dead.engine.has_generated or time.monotonic() - dead.since_s > _STABLE_AFTER_S:
            self._backoff.worked()
        self._status.last_failure = dead.engine.exit_reason
        self._status.set("restarting", _RESTARTING)

    async def run(self, dead: Serving) -> None:
        """Load the model again, until that succeeds or another one serves.

        Whatever a try ends with, there is a next one after a longer wait.
        """
        while self._status.name != "stopping":
            await self._sleep(self._backoff.take_s())
            async with self._lock:  # not while asleep: another model may be asked for meanwhile
                if self._serving() is not None:
                    return
                self._status.restarts += 1
                try:
                    self._serve(await self._loader.load(dead.plan))
                except ServiceStopping:
                    return
                except Exception as error:
                    self._note_failure(dead, error)
                else:
                    return

    def _note_failure(self, dead: Serving, error: Exception) -> None:
        self._backoff.failed()
        self._status.last_failure = reason = reason_of(error)
        if self._status.name == "restarting":
            self._status.set("restarting", _RESTARTING)
        log.error(
            "engine_restart_failed",
            model=dead.name,
            error=reason,
            exc_info=unforeseen(error),
        )

    def succeeded(self) -> None:
        """A model serves."""
        self._backoff.started()

    async def served_again(self) -> Serving:
        """Wait for the engine that is being restarted, as one of a few.

        Raises:
            QueueFull: enough requests wait already.
            EngineUnavailable, NoModelLoaded, ServiceStopping: none will serve soon.
        """
        if self._status.name != "restarting":
            return await self.done()
        with self.place():
            return await self.done()

    @contextlib.contextmanager
    def place(self) -> Iterator[None]:
        """Wait as one of a few.

        Raises:
            QueueFull: enough requests wait already.
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
            EngineUnavailable, NoModelLoaded, ServiceStopping: none will soon.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._loader.timeouts.load_timeout_s):
                while self._serving() is None and self._is_hopeful:
                    await self._status.changed()
        serving = self._serving()
        if serving is None or self._status.name == "stopping":
            raise self._status.refusal()
        return serving

    @property
    def _is_hopeful(self) -> bool:
        return self._status.name == "restarting" and not self._backoff.is_hopeless
