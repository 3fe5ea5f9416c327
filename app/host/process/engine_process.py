"""Owns one engine process: its socket, its requests and its exit.

It must not know models folders or restarts: a handle lives exactly as long as its process.
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
from app.errors import DistillerError, EngineDied, LoadParamsRefused, ModelLoadFailed
from app.host.process.in_flight import InFlightRequests
from app.host.process.mailbox import Sentinel
from app.host.process.process_exit import ProcessExit, oom_kill_count, wait_for_exit
from app.host.process.spawn import SpawnedEngine
from app.host.process.stderr_log import StderrLog
from app.logs import get_logger
from app.protocol import (
    Cancel,
    Chosen,
    Command,
    EndReasoning,
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

_SHUTDOWN_TIMEOUT_S = 10.0
_STDERR_DRAIN_S = 0.2
_HANG_CHECK_INTERVAL_S = 1.0
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}

log = get_logger("engine")


class EngineProcess(asyncio.Protocol):
    """A running engine.

    Args:
        spawned: the process; this handle owns it from now on.
        on_exit: called once, in the event loop, after the process has exited.
        silence_s: seconds without an event after which an engine that has requests is killed.

    Attributes:
        has_generated: whether it has produced a token.
        n_aborted: requests that were in flight when it exited.
    """

    def __init__(
        self,
        spawned: SpawnedEngine,
        on_exit: Callable[[EngineProcess], None],
        *,
        silence_s: float,
    ) -> None:
        self._silence_s = silence_s
        self._last_event_s = time.monotonic()
        self._spawned = spawned
        self._process = spawned.process
        self._on_exit = on_exit
        self._reader = event_reader()
        self._requests = InFlightRequests()
        self._stderr_log = StderrLog(self._log_fields)
        self._oom_kills = oom_kill_count()
        self._killed_by_us = False
        self._loaded: asyncio.Future[ModelInfo] = asyncio.get_running_loop().create_future()
        self._loaded.add_done_callback(lambda future: future.cancelled() or future.exception())
        self._exited = asyncio.Event()
        self._transport: asyncio.Transport | None = None
        self._stderr_task: asyncio.Task[None] | None = None
        self._exit_task: asyncio.Task[None] | None = None
        self._hang_task: asyncio.Task[None] | None = None
        self._is_closing = False
        self.has_generated = False
        self.n_aborted = 0
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
        """Whether the process runs and is connected."""
        return self._transport is not None and not self._exited.is_set()

    @property
    def is_closing(self) -> bool:
        """Whether `close` was called."""
        return self._is_closing

    @property
    def last_event_s(self) -> float:
        """Monotonic time of its last event, or of its first request after being idle."""
        return self._last_event_s

    @property
    def stalled_s(self) -> float:
        """Seconds since its last event while it has requests; 0 without."""
        return time.monotonic() - self._last_event_s if self._requests else 0.0

    @property
    def is_hung(self) -> bool:
        """Whether it has requests and has sent no event for too long."""
        return self.stalled_s > self._silence_s

    @property
    def n_requests(self) -> int:
        """Requests in flight."""
        return len(self._requests)

    async def load(self, command: Load, timeout_s: float) -> ModelInfo:
        """Load a model; kill the process if that fails.

        Raises:
            ModelLoadFailed: llama.cpp rejects the file, or the load times out or crashes.
            LoadParamsRefused: a parameter makes the model unloadable.
        """
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_connection(lambda: self, sock=self._spawned.socket)
        self._transport = transport
        self._stderr_task = start_task(self._stderr_log.watch(self._process.stderr))
        self._exit_task = start_task(self._watch_exit(self._stderr_task))
        self._hang_task = start_task(self._watch_for_hang())
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
        """Send a request and yield its events up to the final one.

        Events that arrived together are yielded together, so that the caller can send them in one
        write. An empty list is yielded after every `idle_s` seconds without an event.

        Closing the iterator early cancels the request in the engine.

        Raises:
            EngineDied: the process exited before the request finished.
            ServiceStopping: `end_requests` was called before the request finished.
            InvalidRequest: a number in the request does not fit the wire format.
        """
        if not self.is_alive:
            raise EngineDied("The engine process has exited")
        if isinstance(command, Generate | Prefill) and not command.sent_s:
            command = msgspec.structs.replace(command, sent_s=time.monotonic())
        frame = encode(command)
        if not self._requests:
            self._last_event_s = time.monotonic()
        mailbox = self._requests.add(request_id)
        unfinished = command.n if isinstance(command, Generate) else 1
        self._write(frame)
        done = False
        try:
            async with aclosing(mailbox.batches(idle_s)) as batches:
                async for events in batches:
                    if events:
                        unfinished -= sum(isinstance(event, Finished) for event in events)
                        done = not unfinished or isinstance(events[-1], Failed | Reply)
                    yield events
                    if done:
                        return
        finally:
            self._requests.remove(request_id)
            if not done and self.is_alive:
                self._send(Cancel(request_id=request_id))

    async def ask(self, command: Command, request_id: str) -> RequestEvent:
        """Send a request and return its final event.

        Raises:
            EngineDied: the process exited before the request finished.
        """
        last: list[RequestEvent] = []
        async with aclosing(self.request(command, request_id)) as batches:
            async for batch in batches:
                last = batch
        return last[-1]

    async def drained(self, timeout_s: float | None) -> None:
        """Wait until no request is in flight, at most `timeout_s`; None waits forever."""
        await self._requests.wait_empty(timeout_s)

    def keep(self) -> contextlib.AbstractContextManager[None]:
        """Return what keeps `drained` waiting: more requests will follow those in flight."""
        return self._requests.keep()

    async def exited(self) -> None:
        """Wait until the process has exited and its exit reason is known."""
        await self._exited.wait()

    def end_requests(self) -> None:
        """Fail all requests in flight because the service stops."""
        self._requests.notify_all(Sentinel.SERVICE_STOPPING)

    def tell(self, command: EndReasoning | KeepProfiles) -> None:
        """Send a command that has no reply."""
        self._send(command)

    async def close(self, grace_s: float = _SHUTDOWN_TIMEOUT_S) -> None:
        """Shut the process down; kill it after `grace_s`.

        It writes its cache to disk first, which takes seconds on a slow disk.
        """
        self._is_closing = True
        if self.is_alive:
            self._send(Shutdown())
            try:
                async with asyncio.timeout(grace_s):
                    await self._exited.wait()
            except TimeoutError:
                self.kill()
        elif self._transport is None:
            self._spawned.discard()
        if self._exit_task is not None:
            await self._exit_task

    def kill(self) -> None:
        """Send SIGKILL."""
        self._killed_by_us = True
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGKILL)

    def _send(self, command: Command) -> None:
        self._write(encode(command))

    def _write(self, frame: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(frame)

    # ------------------------------------------------------------ asyncio.Protocol

    def data_received(self, data: bytes) -> None:
        """Dispatch events to their requests."""
        self._last_event_s = time.monotonic()
        try:
            for event in self._reader.feed(data):
                self._dispatch(event)
        except FrameError as error:
            log.error("engine_protocol_error", error=str(error), **self._log_fields())
            self.kill()

    def _dispatch(self, event: Event) -> None:
        match event:
            case LoadProgress():
                self.load_fraction = event.fraction
            case Loaded():
                self._finish_load(event.info)
            case Stats():
                self.stats = event
            case LoadFailed():
                kind = LoadParamsRefused if event.param else ModelLoadFailed
                self._finish_load(kind(event.message, param=event.param))
            case LogLine():
                fields = self._log_fields(event.request_ids)
                level = _LEVELS[event.level]
                log.log(level, "engine_log", text=event.text, source=event.source, **fields)
            case _:
                if isinstance(event, Chosen):
                    self.has_generated = True
                self._requests.deliver(event)

    def _finish_load(self, outcome: ModelInfo | DistillerError) -> None:
        if self._loaded.done():
            return
        if isinstance(outcome, DistillerError):
            self._loaded.set_exception(outcome)
        else:
            self.load_fraction = 1.0
            self._loaded.set_result(outcome)

    def _log_fields(self, request_ids: Iterable[str] | None = None) -> dict[str, Any]:
        """Return the fields of a log record: the process, and the requests it is about."""
        return {"pid": self.pid, **self._requests.log_fields(request_ids)}

    async def _watch_for_hang(self) -> None:
        """Kill a hung engine; a working one sends events several times a second."""
        while True:
            await asyncio.sleep(_HANG_CHECK_INTERVAL_S)
            if self.is_hung:
                log.error("engine_hung", silent_s=round(self.stalled_s, 1), **self._log_fields())
                self.kill()
                return

    async def _watch_exit(self, stderr: asyncio.Task[None]) -> None:
        await wait_for_exit(self.pid)
        code = self._process.wait()
        await asyncio.wait([stderr], timeout=_STDERR_DRAIN_S)
        oom_kills = (oom_kill_count() or 0) - (self._oom_kills or 0)
        process_exit = ProcessExit(code, killed_by_us=self._killed_by_us, oom_kills=oom_kills)
        self.was_oom_killed = process_exit.is_oom
        reason = self.exit_reason = process_exit.reason(self._stderr_log.exit_line)
        self._finish_load(ModelLoadFailed(f"the engine process exited during the load: {reason}"))
        self._exited.set()
        if self._hang_task is not None:
            self._hang_task.cancel()
        if self._transport is not None:
            self._transport.close()
        if not self._is_closing:
            log.error(
                "engine_exited", reason=reason, requests=self.n_requests, **self._log_fields()
            )
        self.n_aborted = self.n_requests
        self._requests.notify_all(Sentinel.ENGINE_EXITED)
        self._on_exit(self)
