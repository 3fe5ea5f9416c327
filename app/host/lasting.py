"""Owns requests that outlive the engine that works on them.

When an engine dies, its requests wait for the next one and go on there: the prompt comes back from
the cache, the tokens that were chosen are replayed, and the client reads on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

import msgspec

from app.errors import EngineDied
from app.host.delivered import Delivered
from app.host.serving import Serving
from app.host.supervisor import Supervisor
from app.logs import get_logger
from app.protocol import Generate, RequestEvent

log = get_logger("engine")


class LastingRequest:
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
        self._delivered = Delivered(command)
        self._is_on_trial = False

    async def events(self) -> AsyncGenerator[list[RequestEvent], None]:
        """Yield what is new, up to and including the last event, as `EngineProcess.request` does.

        Raises:
            RequestQuarantined: engines die of it.
            EngineDied: another model serves now.
            EngineUnavailable, NoModelLoaded: no engine came back.
            ServiceStopping: the service ended before the request did.
        """
        self._quarantine.check(self._serving.name, self._command)
        command = self._command
        try:
            while True:
                engine = self._serving.engine
                if engine.is_alive:
                    try:
                        async with aclosing(self._one_life(command)) as batches:
                            async for batch in batches:
                                yield batch
                        return
                    except EngineDied:
                        self._note_death()
                async with aclosing(self._until_next_life()) as pings:
                    async for ping in pings:
                        yield ping
                self._delivered.begin_again()
                command = self._delivered.command
        finally:
            self._end_trial()

    async def _one_life(self, command: Generate) -> AsyncGenerator[list[RequestEvent], None]:
        engine = self._serving.engine
        if self._is_on_trial:
            engine.trial = self
        events = engine.request(command, command.request_id, idle_s=self._idle_s)
        async with aclosing(events) as batches:
            async for batch in batches:
                news = self._delivered.news(batch)
                if self._delivered.has_advanced:
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
        if self._delivered.is_suspect and was_tried in (None, self):
            self._delivered.n_deaths += 1
            self._quarantine.blame(self._serving.name, self._command, self._delivered.n_deaths)

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
        log.info("request_continues", model=before.name, pid=self._serving.engine.pid)

    async def _next_life(self) -> Serving:
        if self._delivered.n_deaths:
            await self._quarantine.trial.acquire()
            self._is_on_trial = True
        return await self._supervisor.repair.done()

    def _end_trial(self) -> None:
        """Let the next one be tried."""
        if self._is_on_trial:
            self._is_on_trial = False
            self._quarantine.trial.release()
            if self._serving.engine.is_alive:
                self._serving.engine.trial = None
