"""Owns requests that outlive the engine that works on them.

When an engine dies, its requests wait for the next one and go on there: the prompt comes back from
the cache, the tokens that were chosen are replayed, and the client reads on.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

import msgspec

from app.errors import EngineDied
from app.host.requests.delivered_events import DeliveredEvents
from app.host.serving import Serving
from app.host.supervisor import Supervisor
from app.logs import get_logger
from app.protocol import Generate, RequestEvent

# Trials take moments, but for long prompts and clients that read slowly: nobody waits longer for
# those of others, who may be blamed wrongly then.
_MOST_PATIENCE_S = 30.0

log = get_logger("engine")


class ResumableRequest:
    """One request, and the engines that work on it one after another.

    Args:
        supervisor: knows when the next engine serves.
        serving: the model that is to answer.
        command: the request.
        idle_s: seconds of silence after which there is an empty list of events.
    """

    def __init__(
        self, supervisor: Supervisor, serving: Serving, command: Generate, idle_s: float | None
    ) -> None:
        command = msgspec.structs.replace(command, sent_s=time.monotonic())
        self._supervisor = supervisor
        self._quarantine = supervisor.quarantine
        self._serving = serving
        self._command = command
        self._idle_s = idle_s
        self._delivered_events = DeliveredEvents(command)
        self._is_new = True
        self._is_on_trial = False
        self._has_waited = False

    async def events(self) -> AsyncGenerator[list[RequestEvent], None]:
        """Yield what is new, up to and including the last event, as `EngineProcess.request` does.

        Raises:
            RequestQuarantined: engines die of it.
            QueueFull: enough requests wait until others have been tried.
            EngineDied: another model serves now.
            EngineUnavailable, NoModelLoaded: no engine came back.
            ServiceStopping: the service ended before the request did.
        """
        try:
            while True:
                self._quarantine.check(self._serving.name, self._command)
                if self._may_go_on:
                    try:
                        async with aclosing(self._one_life()) as batches:
                            async for batch in batches:
                                yield batch
                        return
                    except EngineDied:
                        self._note_death()
                async with aclosing(self._until_next_life()) as pings:
                    async for ping in pings:
                        yield ping
        finally:
            self._end_trial()

    @property
    def _may_go_on(self) -> bool:
        """Whether there is an engine, and no other request is tried in it, or was for too long."""
        has_turn = self._is_on_trial or self._has_waited or not self._quarantine.is_trying
        return self._serving.engine.is_alive and has_turn

    async def _one_life(self) -> AsyncGenerator[list[RequestEvent], None]:
        engine, delivered_events = self._serving.engine, self._delivered_events
        command = self._command if self._is_new else delivered_events.command
        self._is_new = self._has_waited = False
        delivered_events.begin_again()
        if self._is_on_trial:
            engine.trial = self
        events = engine.request(command, command.request_id, idle_s=self._idle_s)
        async with aclosing(events) as batches:
            async for batch in batches:
                news = delivered_events.news(batch)
                if self._is_on_trial:
                    engine.trial = self if delivered_events.is_suspect else None
                    if delivered_events.has_advanced:
                        self._end_trial()
                if news or not batch:
                    yield news

    def _note_death(self) -> None:
        """Ask whether the engine died of this request.

        Raises:
            EngineDied: it was to end.
            RequestQuarantined: one engine too many did.
        """
        engine = self._serving.engine
        if engine.is_ending:
            raise EngineDied("the model was unloaded before the answer was whole")
        was_tried = engine.trial
        self._end_trial()
        if self._delivered_events.is_suspect and was_tried in (None, self):
            self._delivered_events.n_deaths += 1
            self._quarantine.blame(
                self._serving.name,
                self._command,
                self._delivered_events.n_deaths,
                in_company=was_tried is None and engine.n_lost > 1,
            )

    async def _until_next_life(self) -> AsyncGenerator[list[RequestEvent], None]:
        """Wait for an engine to go on in; yield an empty list after every `idle_s` seconds."""
        waiting = asyncio.create_task(self._next_life())
        try:
            while not (await asyncio.wait([waiting], timeout=self._idle_s))[0]:
                yield []
            before, self._serving = self._serving, waiting.result()
        finally:
            waiting.cancel()
        if before.name != self._serving.name:
            raise EngineDied(
                f"the engine process ended while it worked on this request, and "
                f"{self._serving.name} serves now"
            )
        if not self._is_new:
            log.info("request_continues", model=before.name, pid=self._serving.engine.pid)

    async def _next_life(self) -> Serving:
        engine_restart = self._supervisor.engine_restart
        if self._delivered_events.n_deaths:
            if not self._is_on_trial:
                await self._quarantine.begin_trial()
                self._is_on_trial = True
            return await engine_restart.done()
        with engine_restart.place() if self._is_new else contextlib.nullcontext():
            try:
                async with asyncio.timeout(_MOST_PATIENCE_S):
                    await self._quarantine.all_tried()
            except TimeoutError:
                self._has_waited = True
            return await engine_restart.done()

    def _end_trial(self) -> None:
        """Let the next one be tried."""
        if self._is_on_trial:
            self._is_on_trial = False
            self._quarantine.end_trial()
            if self._serving.engine.is_alive:
                self._serving.engine.trial = None
