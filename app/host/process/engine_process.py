"""Owns one engine process: its start, its pipe, its requests in flight and its end.

It knows neither models folders nor restarts: a handle lives exactly as long as its process.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from typing import Any

import msgspec

from app.background_tasks import start_task
from app.errors import (
    DistillerError,
    EngineDied,
    LoadParamsRefused,
    ModelLoadFailed,
    ServiceStopping,
)
from app.host.process import exit_reason
from app.host.process.idle_timer import IdleTimer
from app.host.process.mailbox import Mailbox, Mark
from app.host.process.spawn import SpawnedEngine
from app.host.process.stderr_log import StderrLog, process_ended
from app.logs import bound, get_logger
from app.protocol import (
    Cancel,
    Chosen,
    Command,
    Event,
    Failed,
    Finished,
    FrameError,
    Generate,
    KeepProfiles,
    Load,
    Loaded,
    LoadFailed,
    LoadProgress,
    LogLine,
    ModelInfo,
    Prefill,
    Reply,
    RequestEvent,
    Shutdown,
    Stats,
    encode,
    event_reader,
)

_MOST_NAMED_REQUESTS = 16
_SAVE_WAIT_S = 10.0
_LAST_WORDS_WAIT_S = 0.2
_SILENCE_CHECK_S = 1.0
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}

log = get_logger("engine")


class EngineProcess(asyncio.Protocol):
    """A running engine.

    Args:
        spawned: the process; this handle owns it from now on.
        on_exit: called once, in the event loop, when the process has ended.
        silence_s: seconds after which an engine that has work and says nothing is ended.

    Attributes:
        has_generated: whether an answer has come from it.
        trial: whose request is blamed if it dies now; None is every one that it works on.
        n_lost: requests that were in flight when it died.
    """

    def __init__(
        self,
        spawned: SpawnedEngine,
        on_exit: Callable[[EngineProcess], None],
        *,
        silence_s: float,
    ) -> None:
        self._silence_s = silence_s
        self._heard_s = time.monotonic()
        self._process = spawned.process
        self._socket = spawned.socket
        self._on_exit = on_exit
        self._reader = event_reader()
        self._requests: dict[str, Mailbox] = {}
        self._asked_by: dict[str, str] = {}
        self._stderr_log = StderrLog(self._about)
        self._oom_kills = exit_reason.kill_count()
        self._was_killed = False
        self._loaded: asyncio.Future[ModelInfo] = asyncio.get_running_loop().create_future()
        self._loaded.add_done_callback(lambda future: future.cancelled() or future.exception())
        self._exited = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._transport: asyncio.Transport | None = None
        self._stderr_task: asyncio.Task[None] | None = None
        self._exit_task: asyncio.Task[None] | None = None
        self._silence_task: asyncio.Task[None] | None = None
        self._ending = False
        self.has_generated = False
        self.trial: object | None = None
        self.n_lost = 0
        self.exit_reason: str | None = None
        self.was_oom_killed = False
        self.stats = Stats(
            waiting=0,
            running=0,
            kv_tokens=0,
            idle_bytes=0,
            prefill_tokens_per_s=0.0,
            decode_tokens_per_s=0.0,
        )
        self.load_fraction = 0.0

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether the process still answers."""
        return self._transport is not None and not self._exited.is_set()

    @property
    def is_ending(self) -> bool:
        """Whether its end was asked for."""
        return self._ending

    @property
    def heard_s(self) -> float:
        """Monotonic time of its last word, or of when it was last given work after none."""
        return self._heard_s

    @property
    def silent_s(self) -> float:
        """Seconds since its last word, while it has work; 0 without."""
        return time.monotonic() - self._heard_s if self._requests else 0.0

    @property
    def is_hung(self) -> bool:
        """Whether it has been silent over its work for too long."""
        return self.silent_s > self._silence_s

    @property
    def n_requests(self) -> int:
        """Requests in flight."""
        return len(self._requests)

    async def load(self, command: Load, timeout_s: float) -> ModelInfo:
        """Load a model; ends the process when that fails.

        Raises:
            ModelLoadFailed: the file is refused, loading takes too long or kills the process.
            LoadParamsRefused: one of the parameters makes the model unloadable.
        """
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_connection(lambda: self, sock=self._socket)
        self._transport = transport
        self._stderr_task = start_task(self._stderr_log.watch(self._process.stderr))
        self._exit_task = start_task(self._watch_exit(self._stderr_task))
        self._silence_task = start_task(self._watch_silence())
        self._send(command)
        try:
            async with asyncio.timeout(timeout_s):
                return await asyncio.shield(self._loaded)
        except TimeoutError:
            raise ModelLoadFailed(f"the model did not load within {timeout_s:g} s") from None
        finally:
            if not self._loaded.done() or self._loaded.cancelled() or self._loaded.exception():
                self.kill()

    async def request(
        self, command: Command, request_id: str, *, idle_s: float | None = None
    ) -> AsyncGenerator[list[RequestEvent], None]:
        """Send a request and yield its events, up to and including the last one.

        Events that arrived together come together, so that they can leave in one write. An
        empty list comes after each `idle_s` seconds of silence.

        Closing the iterator early cancels the request in the engine.

        Raises:
            EngineDied: the process ended before the request did.
            ServiceStopping: `end_requests` was called before that.
            InvalidRequest: the request has a number that no frame can carry.
        """
        if not self.is_alive:
            raise EngineDied("the engine process is gone")
        mailbox = Mailbox()
        if isinstance(command, Generate | Prefill) and not command.sent_s:
            command = msgspec.structs.replace(command, sent_s=time.monotonic())
        frame = encode(command)
        if not self._requests:
            self._heard_s = time.monotonic()
        self._requests[request_id] = mailbox
        self._asked_by[request_id] = bound("request_id") or request_id
        self._idle.clear()
        unfinished = command.n if isinstance(command, Generate) else 1
        self._write(frame)
        done = False
        timer = idle_s and IdleTimer(idle_s, lambda: mailbox.put(Mark.SILENCE))
        try:
            while not done:
                batch = await mailbox.take()
                if timer:
                    timer.reset()
                known = [event for event in batch if not isinstance(event, Mark)]
                if known:
                    unfinished -= sum(isinstance(event, Finished) for event in known)
                    done = not unfinished or isinstance(known[-1], Failed | Reply)
                    yield known
                elif Mark.SILENCE in batch:
                    yield []
                if Mark.GONE in batch and not done:
                    raise EngineDied("the engine process ended while it worked on this request")
                if Mark.STOP in batch and not done:
                    raise ServiceStopping("The service is shutting down")
        finally:
            if timer:
                timer.close()
            del self._requests[request_id], self._asked_by[request_id]
            if not self._requests:
                self._idle.set()
            if not done and self.is_alive:
                self._send(Cancel(request_id=request_id))

    async def ask(self, command: Command, request_id: str) -> RequestEvent:
        """Send a request and return its last event.

        Raises:
            EngineDied: the process ended before the request did.
        """
        last: list[RequestEvent] = []
        async with aclosing(self.request(command, request_id)) as batches:
            async for batch in batches:
                last = batch
        return last[-1]

    async def drained(self, timeout_s: float | None) -> None:
        """Wait until no request is in flight, at most `timeout_s`; None is no limit."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()

    async def ended(self) -> None:
        """Wait until the process has ended and its exit is known."""
        await self._exited.wait()

    def end_requests(self) -> None:
        """Have all requests in flight end with an error now, as the service stops."""
        for mailbox in self._requests.values():
            mailbox.put(Mark.STOP)

    def tell(self, command: KeepProfiles) -> None:
        """Send a command that has no answer."""
        self._send(command)

    async def close(self, grace_s: float = _SAVE_WAIT_S) -> None:
        """End the process: asks first, kills after `grace_s`.

        What it has cached goes to disk first, which takes seconds on a slow one.
        """
        self._ending = True
        if self.is_alive:
            self._send(Shutdown())
            try:
                async with asyncio.timeout(grace_s):
                    await self._exited.wait()
            except TimeoutError:
                self.kill()
        elif self._transport is None:
            self._socket.close()
            self.kill()
            self._process.wait()
        if self._exit_task is not None:
            await self._exit_task

    def kill(self) -> None:
        """End the process at once."""
        self._was_killed = True
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGKILL)

    def _send(self, command: Command) -> None:
        self._write(encode(command))

    def _write(self, frame: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(frame)

    # ------------------------------------------------------------ asyncio.Protocol

    def data_received(self, data: bytes) -> None:
        """Hand events to the requests they belong to."""
        self._heard_s = time.monotonic()
        try:
            for event in self._reader.feed(data):
                self._dispatch(event)
        except FrameError as error:
            log.error("engine_protocol_error", error=str(error), **self._about())
            self.kill()

    def _dispatch(self, event: Event) -> None:
        match event:
            case LoadProgress():
                self.load_fraction = event.fraction
            case Loaded():
                self._settle(event.info)
            case Stats():
                self.stats = event
            case LoadFailed():
                kind = LoadParamsRefused if event.param else ModelLoadFailed
                self._settle(kind(event.message, param=event.param))
            case LogLine():
                about = self._about(event.request_ids)
                level = _LEVELS[event.level]
                log.log(level, "engine_log", text=event.text, source=event.source, **about)
            case _:
                if isinstance(event, Chosen):
                    self.has_generated = True
                mailbox = self._requests.get(event.request_id)
                if mailbox is not None:
                    mailbox.put(event)

    def _settle(self, outcome: ModelInfo | DistillerError) -> None:
        if self._loaded.done():
            return
        if isinstance(outcome, DistillerError):
            self._loaded.set_exception(outcome)
        else:
            self.load_fraction = 1.0
            self._loaded.set_result(outcome)

    def _about(self, request_ids: Iterable[str] | None = None) -> dict[str, Any]:
        """Return what is bound to a log line: the process, and requests by the ids in the log.

        Args:
            request_ids: the requests; None is all that are in flight.
        """
        ids = self._requests if request_ids is None else request_ids
        named = dict.fromkeys(self._asked_by[each] for each in ids if each in self._asked_by)
        match list(named)[:_MOST_NAMED_REQUESTS]:
            case []:
                return {"pid": self.pid}
            case [only]:
                return {"pid": self.pid, "request_id": only}
            case several:
                return {"pid": self.pid, "request_ids": several}

    async def _watch_silence(self) -> None:
        """End a hung engine: one that works reports several times a second."""
        while True:
            await asyncio.sleep(_SILENCE_CHECK_S)
            if self.is_hung:
                log.error("engine_hung", silent_s=round(self.silent_s, 1), **self._about())
                self.kill()
                return

    async def _watch_exit(self, stderr: asyncio.Task[None]) -> None:
        await process_ended(self.pid)
        code = self._process.wait()
        await asyncio.wait([stderr], timeout=_LAST_WORDS_WAIT_S)
        oom_kills = (exit_reason.kill_count() or 0) - (self._oom_kills or 0)
        ending = exit_reason.ProcessExit(code, was_ours=self._was_killed, oom_kills=oom_kills)
        self.was_oom_killed = ending.is_oom
        reason = self.exit_reason = ending.reason(self._stderr_log.last)
        self._settle(ModelLoadFailed(f"the engine process ended while it loaded: {reason}"))
        self._exited.set()
        if self._silence_task is not None:
            self._silence_task.cancel()
        if self._transport is not None:
            self._transport.close()
        if not self._ending:
            log.error("engine_exited", reason=reason, requests=self.n_requests, **self._about())
        self.n_lost = self.n_requests
        for mailbox in self._requests.values():
            mailbox.put(Mark.GONE)
        self._on_exit(self)
