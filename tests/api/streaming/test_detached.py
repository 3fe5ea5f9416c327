"""An answer goes on without its client for a while, and any reader may have it from any byte."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from sanic import Request

from app.api.streaming.buffer import OffsetGone
from app.api.streaming.detached import MAX_ANSWERS, DetachedAnswer, DetachedAnswers
from app.api.streaming.output import OutputOf
from app.errors import AnswerNotFound, InvalidRequest, QueueFull

KEY = ("kitchen", "conversation")


class Client:
    """A request, and what its response has got."""

    def __init__(self) -> None:
        self.received = b""
        self.has_ended = False
        self.is_aborted = False
        self.statuses: list[int] = []
        self.news = asyncio.Event()
        made = SimpleNamespace(
            app=SimpleNamespace(config=SimpleNamespace(REQUEST_TIMEOUT=60.0)),
            ctx=SimpleNamespace(
                facts={}, logged=False, began_s=0.0, count_request=self.statuses.append
            ),
            transport=SimpleNamespace(abort=self._abort),
            method="POST",
            path="/x",
            respond=self._respond,
        )
        self.request = cast(Request, made)

    async def _respond(self, **_: Any) -> Any:
        return SimpleNamespace(send=self._send)

    async def _send(self, data: bytes, end_stream: bool | None = None) -> None:
        self.received += data
        self.has_ended = self.has_ended or bool(end_stream)
        self.news.set()

    def _abort(self) -> None:
        self.is_aborted = True


class Producer:
    """An answer that the test writes."""

    def __init__(self, fails_with: Exception | None = None) -> None:
        self._pieces: asyncio.Queue[bytes] = asyncio.Queue()
        self._fails_with = fails_with
        self.was_cancelled = False

    def write(self, data: bytes) -> None:
        self._pieces.put_nowait(data)

    async def produce(self, output_of: OutputOf) -> None:
        writer: Any = SimpleNamespace(stream_content_type="text/x", stream_headers={})
        output = output_of(cast(Request, None), writer)
        try:
            while data := await self._pieces.get():
                await output.write(data)
            if self._fails_with:
                raise self._fails_with
            await output.end()
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110  # all happens in this loop
            await asyncio.sleep(0)


def begun(answers: DetachedAnswers, client: Client, producer: Producer) -> DetachedAnswer:
    answer = answers.begin(KEY, client.request, producer.produce)
    assert answer is not None
    return answer


async def test_an_answer_outlives_its_client_and_another_goes_on_at_an_offset() -> None:
    answers, first, second, producer = DetachedAnswers(lambda: 60.0), Client(), Client(), Producer()
    answer = begun(answers, first, producer)
    reader = asyncio.create_task(answers.send(KEY, answer, first.request, 0))
    producer.write(b"abc")
    await until(lambda: first.received == b"abc")
    assert answers.requests() == []
    reader.cancel()
    await asyncio.wait([reader])
    assert answers.requests() == [first.request]
    producer.write(b"def")
    again = asyncio.create_task(answers.send(KEY, answers.get(KEY), second.request, 1))
    await until(lambda: second.received == b"bcdef")
    producer.write(b"")
    await again
    assert (second.received, second.has_ended) == (b"bcdef", True)
    assert answers.requests() == []


async def test_head_does_not_wait_for_the_end() -> None:
    answers, client, producer = DetachedAnswers(lambda: 60.0), Client(), Producer()
    answer = begun(answers, client, producer)
    producer.write(b"abc")
    client.request.method = "HEAD"
    async with asyncio.timeout(5):
        await answers.send(KEY, answer, client.request, 0)
    assert (client.received, client.has_ended) == (b"", True)
    assert answer.is_running
    await answers.stop()


async def test_without_a_reader_an_answer_ends_after_the_window() -> None:
    answers, client, producer = DetachedAnswers(lambda: 0.001), Client(), Producer()
    answer = begun(answers, client, producer)
    reader = asyncio.create_task(answers.send(KEY, answer, client.request, 0))
    producer.write(b"abc")
    await until(lambda: client.received)
    reader.cancel()
    await until(lambda: producer.was_cancelled)
    assert answers.find(KEY) is None
    await until(lambda: client.statuses == [499])


async def test_with_a_reader_it_goes_on_however_long_that_takes() -> None:
    answers, client, producer = DetachedAnswers(lambda: 0.0001), Client(), Producer()
    answer = begun(answers, client, producer)
    reader = asyncio.create_task(answers.send(KEY, answer, client.request, 0))
    await asyncio.sleep(0.001)
    producer.write(b"abc")
    producer.write(b"")
    await reader
    assert (client.received, client.has_ended) == (b"abc", True)


async def test_a_failure_before_the_first_byte_is_raised_and_nothing_is_kept() -> None:
    answers, client = DetachedAnswers(lambda: 60.0), Client()
    producer = Producer(QueueFull(3))
    answer = begun(answers, client, producer)
    producer.write(b"")
    with pytest.raises(QueueFull):
        await answers.send(KEY, answer, client.request, 0)
    await until(lambda: answers.find(KEY) is None)
    assert client.statuses == []  # the response to the error writes the log line


async def test_a_failure_that_nobody_reads_is_logged() -> None:
    answers, client = DetachedAnswers(lambda: 60.0), Client()
    producer = Producer(QueueFull(3))
    begun(answers, client, producer)
    producer.write(b"")
    await until(lambda: client.statuses == [429])


async def test_a_new_answer_of_the_same_name_ends_the_old_one_and_its_readers() -> None:
    answers, client, old, new = DetachedAnswers(lambda: 60.0), Client(), Producer(), Producer()
    answer = begun(answers, client, old)
    reader = asyncio.create_task(answers.send(KEY, answer, client.request, 0))
    old.write(b"abc")
    await until(lambda: client.received)
    other = begun(answers, Client(), new)
    await reader
    assert old.was_cancelled
    assert answers.get(KEY) is other
    await answers.stop()


async def test_an_answer_that_is_ended_before_it_began_is_an_error_for_its_readers() -> None:
    for n_steps in range(4):  # before its task runs at all, and later
        answers, client = DetachedAnswers(lambda: 60.0), Client()
        answer = begun(answers, client, Producer())
        reader = asyncio.create_task(answers.send(KEY, answer, client.request, 0))
        for _ in range(n_steps):
            await asyncio.sleep(0)
        other = begun(answers, Client(), Producer())
        with pytest.raises(InvalidRequest, match="ended before it began"):
            async with asyncio.timeout(5):
                await reader
        assert answers.get(KEY) is other
        await answers.stop()


async def test_names_belong_to_keys() -> None:
    answers = DetachedAnswers(lambda: 60.0)
    begun(answers, Client(), Producer())
    with pytest.raises(AnswerNotFound):
        answers.get(("garage", KEY[1]))
    await answers.stop()


async def test_no_more_run_than_there_is_room_for_and_ended_ones_make_room() -> None:
    answers, producers = DetachedAnswers(lambda: 60.0), [Producer() for _ in range(MAX_ANSWERS)]
    for number, producer in enumerate(producers):
        assert answers.begin(("", str(number)), Client().request, producer.produce)
    assert answers.begin(KEY, Client().request, Producer().produce) is None
    producers[3].write(b"x")
    producers[3].write(b"")
    await until(lambda: not answers.get(("", "3")).is_running)
    assert answers.begin(KEY, Client().request, Producer().produce) is not None
    assert answers.find(("", "3")) is None
    await answers.stop()


async def test_a_reader_that_is_too_slow_is_disconnected() -> None:
    answers, client, producer = DetachedAnswers(lambda: 60.0), Client(), Producer()
    answer = begun(answers, client, producer)
    producer.write(b"abc")
    await until(lambda: answer.buffer.has_begun)
    reader = asyncio.create_task(answers.send(KEY, answer, client.request, 0))
    await until(lambda: client.received)
    answer.buffer.start += 10  # as if so much had gone meanwhile
    producer.write(b"d")
    await reader
    assert client.is_aborted
    with pytest.raises(OffsetGone):
        await answers.send(KEY, answer, Client().request, 0)
    await answers.stop()


async def test_a_stop_ends_all() -> None:
    answers, client, producer = DetachedAnswers(lambda: 60.0), Client(), Producer()
    begun(answers, client, producer)
    await asyncio.sleep(0)
    await answers.stop()
    assert producer.was_cancelled
    assert client.statuses == [499]
    assert answers.find(KEY) is None
