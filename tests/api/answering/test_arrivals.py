"""What several commands answer arrives numbered, and the first error ends all of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from app.api.answering.arrivals import Arrival, in_turn, merged
from app.errors import EngineDied
from app.protocol import RequestEvent, TextDelta

Batches = AsyncGenerator[list[RequestEvent], None]


def piece(text: str) -> RequestEvent:
    return TextDelta(request_id="r", text=text)


async def telling(*texts: str) -> Batches:
    for text in texts:
        yield [piece(text)]
        await asyncio.sleep(0)


async def failing() -> Batches:
    yield [piece("x")]
    raise EngineDied("it ended")


class Silent:
    """A stream that tells nothing and knows whether it was closed."""

    def __init__(self) -> None:
        self.was_closed = False

    async def batches(self) -> Batches:
        try:
            await asyncio.Event().wait()
            yield []
        finally:
            self.was_closed = True


async def test_all_batches_arrive_with_the_number_of_their_stream() -> None:
    arrived: list[Arrival] = []
    async for together in merged([telling("a", "b"), telling("c"), telling()], None):
        arrived += together
    assert sorted(arrived, key=lambda one: one[0]) == [
        (0, [piece("a")]),
        (0, [piece("b")]),
        (1, [piece("c")]),
    ]


async def test_what_arrives_together_comes_together() -> None:
    async with aclosing(merged([telling("a"), telling("b")], None)) as arrived:
        assert await anext(arrived) == [(0, [piece("a")]), (1, [piece("b")])]


async def test_silence_is_an_empty_list() -> None:
    silent = Silent()
    async with aclosing(merged([silent.batches(), telling()], 0.001)) as arrived:
        assert await anext(arrived) == []
        assert await anext(arrived) == []


async def test_an_error_comes_behind_what_arrived_before_it_and_closes_all_streams() -> None:
    silent = Silent()
    arrived: list[Arrival] = []

    async def take_all() -> None:
        async for together in merged([silent.batches(), failing()], None):
            arrived.extend(together)

    with pytest.raises(EngineDied):
        await take_all()
    assert arrived == [(1, [piece("x")])]
    assert silent.was_closed


async def test_streams_begin_in_their_order_and_only_so_many_at_once() -> None:
    began: list[int] = []
    ended: list[int] = []

    async def numbered(number: int) -> Batches:
        began.append(number)
        yield [piece(str(number))]
        await asyncio.sleep(0)
        assert len(began) - len(ended) <= 2
        ended.append(number)

    turns = asyncio.Semaphore(2)
    async for _ in merged([in_turn(numbered(each), turns) for each in range(5)], None):
        pass
    assert (began, len(ended)) == ([0, 1, 2, 3, 4], 5)


async def test_a_stream_that_has_not_begun_does_not_keep_the_others_from_closing() -> None:
    silent, turns = Silent(), asyncio.Semaphore(1)
    streams = [in_turn(silent.batches(), turns), in_turn(telling("never"), turns)]
    async with aclosing(merged(streams, 0.001)) as arrived:
        assert await anext(arrived) == []
    assert silent.was_closed
    assert not turns.locked()


async def test_closing_early_closes_all_streams() -> None:
    silent = Silent()
    async with aclosing(merged([silent.batches(), telling("a")], None)) as arrived:
        await anext(arrived)
    assert silent.was_closed
