"""Owns requests that survive a crash of their engine.

When an engine crashes, its requests wait for the next one and resume there: the prompt is restored
from the cache, the tokens chosen so far are replayed, and the client's stream continues.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

import msgspec

from app.errors import EngineDied
from app.host.quarantine import Quarantine
from app.host.requests.delivered_events import DeliveredEvents
from app.host.serving import Serving
from app.host.supervisor import Supervisor
from app.logs import get_logger
from app.protocol import Generate, RequestEvent

# Retries are short, except for long prompts and slow clients. A request that waited this long runs
# beside a retry, at the risk that a crash is attributed to the wrong one.
_MAX_RETRY_WAIT_S = 30.0

log = get_logger("engine")


class ResumableRequest:
    """One request, and its attempts in one engine after another.

    Args:
        supervisor: provides the next engine.
        serving: the model that is to answer.
        command: the request.
        idle_s: seconds without an event after which an empty list is yielded.
    """

    def __init__(
        self, supervisor: Supervisor, serving: Serving, command: Generate, idle_s: float | None
    ) -> None:
        command = msgspec.structs.replace(command, sent_s=time.monotonic())
        self._restart = supervisor.engine_restart
        self._quarantine = supervisor.quarantine
        self._serving = serving
        self._command = command
        self._idle_s = idle_s
        self._delivered_events = DeliveredEvents(command)
        self._n_crashes = 0
        self._is_new = True
        self._is_retry = False
        self._retry_wait_timed_out = False

    async def events(self) -> AsyncGenerator[list[RequestEvent], None]:
        """Yield new events up to the final one, as `EngineProcess.request` does.

        Raises:
            RequestQuarantined: the request crashes engines.
            QueueFull: too many requests wait for retries or a restart.
            EngineDied: another model was loaded meanwhile.
            EngineUnavailable, NoModelLoaded: no engine came back.
            ServiceStopping: the service stopped before the request finished.
        """
        try:
            while True:
                self._quarantine.check(self._serving.name, self._command)
                if self._can_attempt:
                    try:
                        async with aclosing(self._attempt()) as batches:
                            async for batch in batches:
                                yield batch
                        return
                    except EngineDied:
                        self._record_crash()
                async with aclosing(self._wait_for_engine()) as idle_batches:
                    async for empty in idle_batches:
                        yield empty
        finally:
            self._end_retry()

    @property
    def _can_attempt(self) -> bool:
        """Whether the engine is alive and no retry of another request has priority."""
        has_priority = (
            self._is_retry or self._retry_wait_timed_out or not self._quarantine.is_retrying
        )
        return self._serving.engine.is_alive and has_priority

    async def _attempt(self) -> AsyncGenerator[list[RequestEvent], None]:
        engine, delivered = self._serving.engine, self._delivered_events
        command = self._command if self._is_new else delivered.command
        self._is_new = self._retry_wait_timed_out = False
        delivered.start_attempt()
        if self._is_retry:
            self._quarantine.set_suspect(engine, self)
        events = engine.request(command, command.request_id, idle_s=self._idle_s)
        running = _Running(self._quarantine, engine)
        async with aclosing(events) as batches, running:
            async for batch in batches:
                new_events = delivered.new_events(batch)
                running.set(is_running=delivered.is_crash_suspect)
                if self._is_retry:
                    suspect = self if delivered.is_crash_suspect else None
                    self._quarantine.set_suspect(engine, suspect)
                    if delivered.has_advanced:
                        self._end_retry()
                if new_events or not batch:
                    yield new_events

    def _record_crash(self) -> None:
        """Decide whether this request may have crashed the engine.

        Raises:
            EngineDied: the engine was shut down.
            RequestQuarantined: the request has crashed too many engines.
        """
        engine = self._serving.engine
        if engine.is_closing:
            raise EngineDied("The model was unloaded before the answer was complete")
        suspect = self._quarantine.suspect(engine)
        self._end_retry()
        is_queued = not self._delivered_events.is_crash_suspect
        may_crash = not (is_queued and self._quarantine.has_running(engine))
        if may_crash and suspect in (None, self):
            self._n_crashes += 1
            self._quarantine.record_crash(
                self._serving.name,
                self._command,
                self._n_crashes,
                is_shared=suspect is None and engine.n_aborted > 1,
            )

    async def _wait_for_engine(self) -> AsyncGenerator[list[RequestEvent], None]:
        """Wait for the next engine; yield an empty list after every `idle_s` seconds."""
        waiting = asyncio.create_task(self._next_engine())
        try:
            while not (await asyncio.wait([waiting], timeout=self._idle_s))[0]:
                yield []
            before, self._serving = self._serving, waiting.result()
        finally:
            waiting.cancel()
        if before.name != self._serving.name:
            raise EngineDied(
                "The engine process exited while processing this request, and "
                f"{self._serving.name} was loaded instead"
            )
        if not self._is_new:
            log.info("request_resumed", model=before.name, pid=self._serving.engine.pid)

    async def _next_engine(self) -> Serving:
        if self._n_crashes:
            if not self._is_retry:
                await self._quarantine.begin_retry()
                self._is_retry = True
            return await self._restart.done()
        needs_slot = self._is_new and not self._command.is_admitted
        with self._restart.waiter_slot() if needs_slot else contextlib.nullcontext():
            try:
                async with asyncio.timeout(_MAX_RETRY_WAIT_S):
                    await self._quarantine.retries_done()
            except TimeoutError:
                self._retry_wait_timed_out = True
            return await self._restart.done()

    def _end_retry(self) -> None:
        """Let the next request be retried."""
        if self._is_retry:
            self._is_retry = False
            self._quarantine.end_retry()
            if self._serving.engine.is_alive:
                self._quarantine.set_suspect(self._serving.engine, None)


class _Running:
    """Counts a request as running in an engine while its crash may be due to it.

    At the engine's death the count stays as it was, so that all requests see the same.
    """

    def __init__(self, quarantine: Quarantine, engine: object) -> None:
        self._quarantine = quarantine
        self._engine = engine
        self._is_running = False

    async def __aenter__(self) -> None:
        self.set(is_running=True)

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not EngineDied:
            self.set(is_running=False)

    def set(self, *, is_running: bool) -> None:
        """Say whether it is running; it is not while it is queued."""
        if is_running != self._is_running:
            self._is_running = is_running
            self._quarantine.add_running(self._engine, 1 if is_running else -1)
