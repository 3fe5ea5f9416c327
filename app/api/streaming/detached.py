"""Owns answers that go on without their client, which may come back for the rest.

Such an answer is written to a buffer by a task of its own. The client that asked for it is only the
first reader. Without any reader it goes on for the resume window, and is then ended and forgotten.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

from sanic import Request

from app.api.dialect import Writer
from app.api.streaming.buffer import StreamBuffer
from app.api.streaming.output import ClientOutput, Output, OutputOf
from app.background_tasks import start_task
from app.errors import AnswerNotFound, DistillerError, InvalidRequest
from app.logs import get_logger
from app.web import access_log, framing
from app.web.errors import note_error, status_of

MAX_ANSWERS = 16

Key = tuple[str, str]
"""The client's API key by name, empty without one, and its name of the answer."""
Produce = Callable[[OutputOf], Awaitable[object]]
"""Produces a whole answer to an output."""

log = get_logger("api")


def _ended_early() -> InvalidRequest:
    return InvalidRequest(
        "The stream was ended before it began, by DELETE or by a later request with its name",
        code="stream_ended",
    )


@dataclass(eq=False)
class DetachedAnswer:
    """One answer that goes on without its client.

    Args:
        request: the one that asked for it.
    """

    request: Request | None
    buffer: StreamBuffer = field(default_factory=StreamBuffer)
    content_type: str = framing.CONTENT_TYPE
    headers: dict[str, str] = field(default_factory=lambda: dict(framing.HEADERS))
    started_s: float = field(default_factory=time.time)
    ended_s: float | None = None
    n_readers: int = 0
    writer: Writer | None = None
    task: asyncio.Task[None] | None = None

    def output(self, _request: Request, writer: Writer) -> Output:
        """Return the buffer, which is to be read as the writer says."""
        self.writer = writer
        self.content_type = writer.stream_content_type
        self.headers = dict(writer.stream_headers)
        return self.buffer

    async def produce(self, produce: Produce) -> None:
        """Have the answer produced; the log line of its request is written at the end."""
        try:
            await produce(self.output)
        except asyncio.CancelledError as error:
            if self.buffer.has_begun or not self.n_readers:
                self._log(error)
            raise
        except Exception as error:
            if self.buffer.has_begun or not self.n_readers:  # nobody makes a response of it
                self._log(error)
            self.buffer.stop(error)
        finally:
            self.note_end()

    def note_end(self) -> None:
        """End it for its readers; those of one that was ended before it began get an error."""
        self.ended_s = self.ended_s or time.time()
        self.request = None  # its body may be large
        self.buffer.stop(None if self.buffer.has_begun else _ended_early())

    def _log(self, error: BaseException) -> None:
        if self.request is None:
            return
        if not isinstance(error, DistillerError | asyncio.CancelledError):
            log.error("unhandled_error", exc_info=error)
        note_error(self.request, error)
        access_log.write(self.request, status_of(error))

    async def begun(self) -> None:
        """Wait until its first bytes are written; somebody reads it, or logs what it failed with.

        Raises:
            Exception: what it failed with before that.
        """
        self.n_readers += 1
        try:
            await self.buffer.begun()
        finally:
            self.n_readers -= 1

    async def ended(self) -> None:
        """Wait until it has ended, in whatever way."""
        if self.task is not None:
            await asyncio.wait([self.task])

    def cancel(self) -> None:
        """End the answer, for its readers too."""
        if self.task is not None:
            self.task.cancel()

    @property
    def is_running(self) -> bool:
        """Whether it is still being produced."""
        return not self.buffer.has_ended


class DetachedAnswers:
    """The answers that clients can come back for.

    Args:
        window_s: returns for how long an answer goes on, and is kept, without a reader.
        waits_for_readers: whether answers end, and are forgotten, after that; else they go on
            to their end and are forgotten then.
    """

    def __init__(self, window_s: Callable[[], float], *, waits_for_readers: bool = True) -> None:
        self._window_s = window_s
        self._waits_for_readers = waits_for_readers
        self._answers: dict[Key, DetachedAnswer] = {}
        self._timers: dict[Key, asyncio.TimerHandle] = {}

    @property
    def is_enabled(self) -> bool:
        """Whether answers may go on without their clients."""
        return self._window_s() > 0

    def get(self, key: Key) -> DetachedAnswer:
        """Return an answer.

        Raises:
            AnswerNotFound: there is none.
        """
        answer = self._answers.get(key)
        if answer is None:
            raise AnswerNotFound(
                f"No stream of '{key[1]}' is kept; a finished or lost one is kept for "
                f"{self._window_s():g} s (setting resume_window_s)",
                param="conv_id",
            )
        return answer

    def find(self, key: Key) -> DetachedAnswer | None:
        """Return an answer, or None."""
        return self._answers.get(key)

    def running_of(self, owner: str) -> list[tuple[Key, DetachedAnswer]]:
        """Return the running answers of an API key, by its name."""
        mine = [(key, answer) for key, answer in self._answers.items() if key[0] == owner]
        return [(key, answer) for key, answer in mine if answer.is_running]

    def begin(self, key: Key, request: Request, produce: Produce) -> DetachedAnswer | None:
        """Begin to produce an answer, in the place of an older one of the same key.

        Returns None if there are too many that run; the answer is then the client's alone.
        """
        self.end(key)
        if len(self._answers) >= MAX_ANSWERS and not self._forget_ended():
            return None
        answer = self._answers[key] = DetachedAnswer(request)
        answer.task = start_task(answer.produce(produce))
        answer.task.add_done_callback(lambda _task: self._note_end(key, answer))
        return answer

    def end(self, key: Key) -> None:
        """End an answer and forget it."""
        answer = self._answers.pop(key, None)
        if timer := self._timers.pop(key, None):
            timer.cancel()
        if answer is not None:
            answer.cancel()

    def _forget_ended(self) -> bool:
        """Make room by forgetting the answer that ended first, if one has."""
        for key, answer in self._answers.items():
            if not answer.is_running and not answer.n_readers:
                self.end(key)
                return True
        return False

    def _note_end(self, key: Key, answer: DetachedAnswer) -> None:
        """Forget an answer that failed before it began, or that is not kept when it has ended."""
        answer.note_end()  # a task that is cancelled before its first step does not run at all
        is_kept = answer.buffer.has_begun and self._waits_for_readers
        if not is_kept and self._answers.get(key) is answer:
            self.end(key)

    # ------------------------------------------------------------ readers

    async def send(self, key: Key, answer: DetachedAnswer, request: Request, offset: int) -> None:
        """Send an answer to a client from an offset on, up to its end; to HEAD its headers only.

        Raises:
            OffsetGone: the bytes there are no longer held.
            Exception: what the answer failed with before its first byte.
        """
        answer.buffer.check(offset)
        output = ClientOutput(request, answer.content_type, answer.headers)
        if request.method == "HEAD":  # the end may be far
            await output.begin()
            await output.end()
            output.close()
            return
        with self._reading(key, answer):
            try:
                async for data in answer.buffer.read(offset):
                    await output.write(data)
            except Exception:
                if not output.has_begun:
                    raise
                output.abort()  # it is too slow: what follows would not fit to what it has
                return
            finally:
                output.close()
            await output.begin()
            await output.end()

    @contextlib.contextmanager
    def _reading(self, key: Key, answer: DetachedAnswer) -> Iterator[None]:
        if timer := self._timers.pop(key, None):
            timer.cancel()
        answer.n_readers += 1
        try:
            yield
        finally:
            answer.n_readers -= 1
            is_lost = self._waits_for_readers and not answer.n_readers
            if is_lost and self._answers.get(key) is answer:
                loop = asyncio.get_running_loop()
                self._timers[key] = loop.call_later(self._window_s(), self.end, key)

    # ------------------------------------------------------------ the service

    def requests(self) -> list[Request]:
        """Return the requests of the running answers that have no reader."""
        return [
            answer.request
            for answer in self._answers.values()
            if answer.request is not None and not answer.n_readers
        ]

    async def stop(self, grace_s: float = 0.0) -> None:
        """Give all answers a moment to end, as they do when requests are ended; then end them."""
        tasks = [each.task for each in self._answers.values() if each.task]
        if tasks:
            await asyncio.wait(tasks, timeout=grace_s)
        for key in list(self._answers):
            self.end(key)
        await asyncio.gather(*tasks, return_exceptions=True)
