"""One streamed answer on its connection: when its headers leave, and how it ends.

Covers `app.api.streaming.output` too.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from sanic import Request

from app.api.answering.arrivals import Arrival
from app.api.answering.stream import Stream
from app.api.outcome import Outcome
from app.errors import ServiceStopping, TemplateRefused
from app.protocol import (
    Accepted,
    Failed,
    Finished,
    Generate,
    RequestEvent,
    SamplingParams,
    TextDelta,
)
from tests.api.answering.lines_dialect import LinesWriter
from tests.host.fake_engine import TIMINGS, USAGE

COMMAND = Generate(request_id="r", sampling=SamplingParams())
HI = TextDelta(request_id="r", text="Hi")
END = Finished(request_id="r", reason="stop", usage=USAGE, timings=TIMINGS)
ACCEPTED = Accepted(request_id="r")
FAILED = Failed(request_id="r", kind=TemplateRefused.__name__, message="no")


class Connection:
    """A request whose response keeps what is sent on it."""

    def __init__(self, timeout_s: float = 60.0) -> None:
        self.headers: dict[str, str] | None = None
        self.writes: list[bytes] = []
        self.has_ended = False
        self.statuses: list[int] = []
        self.n_answers = 0
        self.is_aborted = asyncio.Event()
        self.has_headers = asyncio.Event()
        self.can_write = asyncio.Event()
        self.can_write.set()
        metrics = SimpleNamespace(count_answer=self._count_answer)
        service = SimpleNamespace(metrics=metrics)
        self.request: Any = SimpleNamespace(
            app=SimpleNamespace(
                config=SimpleNamespace(REQUEST_TIMEOUT=timeout_s),
                ctx=SimpleNamespace(service=service),
            ),
            ctx=SimpleNamespace(
                facts={}, logged=False, began_s=0.0, count_request=self.statuses.append
            ),
            transport=SimpleNamespace(abort=self.is_aborted.set),
            method="POST",
            path="/lines",
            respond=self.respond,
        )

    def _count_answer(self, _usage: Any, _timings: Any) -> None:
        self.n_answers += 1

    async def respond(self, *, content_type: str, headers: dict[str, str]) -> Any:
        self.headers = {"content-type": content_type, **headers}
        self.has_headers.set()
        return SimpleNamespace(send=self.send)

    async def send(self, data: bytes, end_stream: bool | None = None) -> None:
        await self.can_write.wait()
        if data:
            self.writes.append(data)
        self.has_ended = self.has_ended or bool(end_stream)

    async def stream(self, *batches: list[Arrival] | Exception, begin: bytes = b"") -> None:
        writer, outcome = LinesWriter(begin), Outcome([COMMAND])
        await Stream(cast(Request, self.request), writer, outcome).send(arrived(*batches))


async def arrived(*batches: list[Arrival] | Exception) -> AsyncIterator[list[Arrival]]:
    for batch in batches:
        if isinstance(batch, Exception):
            raise batch
        yield batch


def events(*found: RequestEvent) -> list[Arrival]:
    return [(0, list(found))]


def line(data: bytes) -> Any:
    return json.loads(data.splitlines()[-1])


async def test_headers_leave_with_the_first_event_and_a_log_line_is_written_at_the_end() -> None:
    connection = Connection()
    await connection.stream(events(HI), events(END))
    assert connection.headers == {"content-type": "application/x-ndjson", "X-Lines": "yes"}
    assert list(map(line, connection.writes)) == [
        {"at": "0.0", "text": "Hi"},
        {"done": USAGE.completion_tokens},
    ]
    assert connection.has_ended
    assert (connection.statuses, connection.n_answers) == ([200], 1)


async def test_what_arrives_together_leaves_in_one_write() -> None:
    connection = Connection()
    await connection.stream(events(HI, HI, END))
    (data,) = connection.writes
    assert len(data.splitlines()) == 3


async def test_an_idle_period_is_a_ping_which_sends_the_headers_too() -> None:
    connection = Connection()
    await connection.stream([], events(HI, END))
    assert connection.writes[0] == b"\n"
    assert connection.headers is not None


async def test_what_a_stream_begins_with_leaves_once_the_request_is_accepted() -> None:
    connection = Connection()
    await connection.stream(events(ACCEPTED), events(HI, END), begin=b"begun\n")
    assert connection.writes[0] == b"begun\n"
    assert line(connection.writes[1]) == {"done": USAGE.completion_tokens}


async def test_an_accepted_request_may_be_refused_where_a_stream_begins_with_nothing() -> None:
    connection = Connection()
    with pytest.raises(TemplateRefused):
        await connection.stream(events(ACCEPTED), events(FAILED))
    assert connection.headers is None


@pytest.mark.parametrize("first", [events(FAILED), RuntimeError("broken")])
async def test_an_error_before_the_first_event_is_raised_and_sends_nothing(
    first: list[Arrival] | Exception,
) -> None:
    connection = Connection()
    with pytest.raises((TemplateRefused, RuntimeError)):
        await connection.stream(first)
    assert connection.headers is None
    assert (connection.writes, connection.statuses) == ([], [])


@pytest.mark.parametrize(
    ("later", "status", "code"),
    [
        (events(FAILED), 400, "chat_template_error"),
        (RuntimeError("broken"), 500, "internal_error"),
    ],
)
async def test_a_later_error_ends_the_stream_in_the_dialects_shape(
    later: list[Arrival] | Exception, status: int, code: str
) -> None:
    connection = Connection()
    await connection.stream(events(HI), later)
    assert line(connection.writes[-1]) == {"problem": code}
    assert connection.has_ended
    assert connection.statuses == [status]
    assert connection.request.ctx.facts["error_code"] == code


async def test_a_client_that_hangs_up_is_logged_as_499() -> None:
    connection = Connection()
    connection.can_write.clear()
    task = asyncio.create_task(connection.stream(events(HI)))
    await connection.has_headers.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert connection.statuses == [499]
    assert connection.request.ctx.facts["error_code"] == "client_closed_request"


async def test_an_error_that_nobody_reads_is_still_logged() -> None:
    connection = Connection()
    reached = asyncio.Event()

    async def broken() -> AsyncIterator[list[Arrival]]:
        yield events(HI)
        connection.can_write.clear()
        reached.set()
        raise ServiceStopping("stopping")

    stream = Stream(cast(Request, connection.request), LinesWriter(), Outcome([COMMAND]))
    task = asyncio.create_task(stream.send(broken()))
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert connection.statuses == [503]
    assert connection.request.ctx.facts["error_code"] == "service_stopping"


async def test_a_client_that_stops_reading_is_disconnected() -> None:
    connection = Connection(timeout_s=0.01)
    connection.can_write.clear()
    task = asyncio.create_task(connection.stream(events(HI)))
    await connection.is_aborted.wait()
    task.cancel()
    await asyncio.wait([task])


async def test_a_client_that_waits_for_the_engine_is_not_disconnected() -> None:
    connection = Connection(timeout_s=0.001)
    released = asyncio.Event()

    async def slow() -> AsyncIterator[list[Arrival]]:
        yield events(HI)
        asyncio.get_running_loop().call_later(0.02, released.set)
        await released.wait()
        yield events(END)

    stream = Stream(cast(Request, connection.request), LinesWriter(), Outcome([COMMAND]))
    await stream.send(slow())
    assert not connection.is_aborted.is_set()
