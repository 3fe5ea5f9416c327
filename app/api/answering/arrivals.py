"""Owns merging the events of a request's commands, in order of arrival."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any

import msgspec

from app.host.requests.resumable_request import ResumableRequest
from app.host.serving import Serving
from app.host.supervisor import Supervisor
from app.protocol import Generate, RequestEvent

Arrival = tuple[int, list[RequestEvent]]
Arrivals = AsyncIterator[list[Arrival]]
Batches = AsyncGenerator[list[RequestEvent], None]


async def arrivals(
    supervisor: Supervisor, serving: Serving, commands: Sequence[Generate], idle_s: float | None
) -> AsyncGenerator[list[Arrival], None]:
    """Yield batches of events, each with the number of its command.

    Yields an empty list after every `idle_s` seconds without events. Closing the iterator early
    cancels all commands. Of several commands, the engine has no more at once than it can answer
    at once; only the first one has to find room in its queue.

    Raises:
        DistillerError: what `ResumableRequest.events` raises for one of the commands.
    """
    if len(commands) > 1:
        turns = asyncio.Semaphore(max(1, serving.parallel // commands[0].n))
        admitted = [commands[0], *map(_admitted, commands[1:])]
        requests = [ResumableRequest(supervisor, serving, each, None) for each in admitted]
        streams = [in_turn(each.events(), turns) for each in requests]
        with serving.engine.keep():
            async with aclosing(merged(streams, idle_s)) as several:
                async for together in several:
                    yield together
        return
    events = ResumableRequest(supervisor, serving, commands[0], idle_s).events()
    async with aclosing(events) as batches:
        async for batch in batches:
            yield [(0, batch)] if batch else []


def _admitted(command: Generate) -> Generate:
    """Return a command that is answered even if the queue is full."""
    return msgspec.structs.replace(command, is_admitted=True)


async def in_turn(stream: Batches, turns: asyncio.Semaphore) -> Batches:
    """Yield what `stream` yields; begin it once `turns` lets it, in the order of the calls."""
    async with turns, aclosing(stream) as batches:
        async for batch in batches:
            yield batch


async def merged(
    streams: Sequence[Batches], idle_s: float | None
) -> AsyncGenerator[list[Arrival], None]:
    """Yield the batches of several streams as they arrive, with the number of the stream.

    The first error of a stream ends all of them.
    """
    arrived: asyncio.Queue[Arrival | asyncio.Task[None]] = asyncio.Queue()
    tasks = [asyncio.create_task(_pump(no, each, arrived)) for no, each in enumerate(streams)]
    for task in tasks:
        task.add_done_callback(arrived.put_nowait)
    n_running = len(tasks)
    try:
        while n_running:
            items = await _take(arrived, idle_s)
            batches = [item for item in items if not isinstance(item, asyncio.Task)]
            if batches or not items:
                yield batches
            for item in items:
                if isinstance(item, asyncio.Task):
                    item.result()
                    n_running -= 1
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _pump(number: int, stream: Batches, arrived: asyncio.Queue[Any]) -> None:
    async with aclosing(stream) as batches:
        async for batch in batches:
            arrived.put_nowait((number, batch))


async def _take(arrived: asyncio.Queue[Any], idle_s: float | None) -> list[Any]:
    """Return all that has arrived, after waiting up to `idle_s` for the first."""
    try:
        async with asyncio.timeout(idle_s):
            items = [await arrived.get()]
    except TimeoutError:
        return []
    while not arrived.empty():
        items.append(arrived.get_nowait())
    return items
