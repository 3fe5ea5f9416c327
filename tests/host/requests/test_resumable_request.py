"""A request goes on in the next engine; which ones are tried alone, and which are given up."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import cast

import pytest

from app.base.json_types import as_json
from app.errors import EngineDied, QueueFull, RequestQuarantined
from app.host.quarantine import Quarantine
from app.host.requests.resumable_request import ResumableRequest
from app.host.serving import Serving
from app.host.supervisor import Supervisor
from app.protocol import (
    Accepted,
    Chosen,
    Finished,
    Generate,
    RequestEvent,
    SamplingParams,
    Started,
    Timings,
    Usage,
)

GETS_ON = (Accepted, Started, Chosen, Chosen, Chosen)
TURNS = 20  # of the event loop, until all that can happen has


class Engine:
    """An engine that says what the test has it say."""

    is_closing = False
    pid = 1
    n_aborted = 0

    def __init__(self) -> None:
        self.is_alive = True
        self.mailboxes: dict[str, asyncio.Queue[list[RequestEvent] | None]] = {}

    async def request(
        self, command: Generate, request_id: str, *, idle_s: float | None
    ) -> AsyncGenerator[list[RequestEvent], None]:
        if not self.is_alive:
            raise EngineDied("gone")
        mailbox = self.mailboxes[request_id] = asyncio.Queue()
        while (batch := await mailbox.get()) is not None:
            yield batch
            if isinstance(batch[-1], Finished):
                return
        raise EngineDied("died")

    async def say(self, request_id: str, *kinds: type[RequestEvent]) -> None:
        events: dict[type[RequestEvent], RequestEvent] = {
            Accepted: Accepted(request_id=request_id),
            Started: Started(request_id=request_id, prompt_tokens=1, cached_tokens=0),
            Chosen: Chosen(request_id=request_id, tokens=[1]),
            Finished: finished(request_id),
        }
        for kind in kinds:
            self.mailboxes[request_id].put_nowait([events[kind]])
        await turns()


@dataclass
class Served:
    engine: Engine
    name: str = "m"


@dataclass
class Host:
    """What a request knows of the supervisor; `repair` is itself."""

    quarantine: Quarantine = field(default_factory=Quarantine)
    serving: Served | None = field(default_factory=lambda: Served(Engine()))
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    is_full: bool = False

    @property
    def engine_restart(self) -> Host:
        return self

    @property
    def engine(self) -> Engine:
        assert self.serving is not None
        return self.serving.engine

    def waiter_slot(self) -> contextlib.AbstractContextManager[None]:
        if self.is_full:
            raise QueueFull(1)
        return contextlib.nullcontext()

    async def done(self) -> Served:
        while self.serving is None:
            await self.changed.wait()
        return self.serving

    async def die(self) -> None:
        engine, self.serving = self.engine, None
        engine.is_alive, engine.n_aborted = False, len(engine.mailboxes)
        self.changed.clear()
        for mailbox in engine.mailboxes.values():
            mailbox.put_nowait(None)
        await turns()

    async def restart(self) -> None:
        self.serving = Served(Engine())
        self.changed.set()
        await turns()


class Client:
    """Somebody who asks."""

    def __init__(
        self, host: Host, name: str, content: str = "", *, is_admitted: bool = False
    ) -> None:
        message = {"role": "user", "content": content or name}
        command = Generate(
            request_id=name,
            messages=as_json([message]),
            sampling=SamplingParams(),
            is_admitted=is_admitted,
        )
        supervisor, serving = cast(Supervisor, host), cast(Serving, host.serving)
        self._request = ResumableRequest(supervisor, serving, command, None)
        self.task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async with aclosing(self._request.events()) as batches:
            async for _ in batches:
                pass


def finished(request_id: str) -> Finished:
    return Finished(
        request_id=request_id,
        reason="stop",
        usage=Usage(prompt_tokens=1, cached_tokens=0, completion_tokens=1),
        timings=Timings(
            queue_ms=0.0,
            ttft_ms=0.0,
            prompt_n=1,
            prompt_ms=0.0,
            predicted_n=1,
            predicted_ms=0.0,
            cache_n=0,
        ),
    )


async def turns() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)


async def at_work(names: str, *content: str) -> tuple[Host, list[Client]]:
    """Return clients whose requests an engine works on, one for each letter."""
    host = Host()
    clients = [Client(host, name, *content) for name in names]
    await turns()
    for name in names:
        await host.engine.say(name, Accepted, Started)
    return host, clients


async def test_one_is_tried_at_a_time() -> None:
    host = Host()
    clients = [Client(host, name) for name in "ab"]
    await turns()
    for name in "ab":
        await host.engine.say(name, Accepted, Started, Chosen)
    await host.die()
    await host.restart()
    assert list(host.engine.mailboxes) == ["a"]
    await host.engine.say("a", *GETS_ON)
    assert list(host.engine.mailboxes) == ["a", "b"]
    for name in "ba":
        await host.engine.say(name, Accepted, Started, Finished)
    assert [client.task.result() for client in clients] == [None, None]


async def test_a_trial_goes_on_in_the_next_engine_where_one_dies_unasked() -> None:
    host, clients = await at_work("ab")
    await host.die()
    host.serving = Served(Engine())
    host.engine.is_alive = False  # it was there, and is gone before anybody could ask
    host.changed.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await host.restart()
    for name in "ab":
        await host.engine.say(name, Accepted, Started, Chosen, Finished)
    assert [client.task.result() for client in clients] == [None, None]


async def test_copies_of_a_request_that_is_given_up_are_given_up_too() -> None:
    host, clients = await at_work("abc", "the same")
    await host.die()
    await host.restart()
    await host.engine.say("a", Accepted, Started)
    await host.die()
    await host.restart()
    for client in clients:
        with pytest.raises(RequestQuarantined):
            client.task.result()


async def test_who_is_tried_is_not_blamed_while_it_waits() -> None:
    host, clients = await at_work("ab")
    for _ in range(3):
        await host.die()
        await host.restart()
        await host.engine.say("a", *GETS_ON)
        await host.engine.say("b", Accepted)
    await host.die()
    with pytest.raises(RequestQuarantined):
        clients[0].task.result()
    await host.restart()
    assert list(host.engine.mailboxes) == ["b"]
    clients[1].task.cancel()


async def test_who_got_on_is_not_given_up_with_the_next_that_ends_an_engine() -> None:
    host = Host()
    old = Client(host, "old")
    await turns()
    await host.engine.say("old", Accepted, Started)
    await host.die()
    await host.restart()
    await host.engine.say("old", *GETS_ON)
    new = Client(host, "new")
    await turns()
    await host.engine.say("new", Accepted, Started)
    await host.die()
    while not new.task.done():
        await host.restart()
        (tried,) = host.engine.mailboxes
        if tried == "old":
            await host.engine.say(tried, *GETS_ON)
        await host.engine.say("new", Accepted, Started)
        await host.die()
    with pytest.raises(RequestQuarantined):
        new.task.result()
    await host.restart()
    await host.engine.say("old", Accepted, Started, Finished)
    assert old.task.result() is None


async def test_who_is_alone_needs_no_trial_to_be_given_up() -> None:
    host = Host()
    client = Client(host, "a")
    await turns()
    for _ in range(2):
        await host.engine.say("a", *GETS_ON)
        await host.die()
        await host.restart()
    with pytest.raises(RequestQuarantined):
        client.task.result()


async def test_what_ends_engines_before_it_runs_is_given_up_where_nothing_else_ran() -> None:
    host = Host()
    client, gone = Client(host, "a"), Client(host, "gone")
    await turns()
    await host.engine.say("gone", Accepted, Started)
    gone.task.cancel()
    for _ in range(2):
        await turns()
        await host.engine.say("a", Accepted)
        await host.die()
        await host.restart()
    with pytest.raises(RequestQuarantined):
        client.task.result()


async def test_who_waits_is_not_blamed_beside_one_that_runs() -> None:
    host = Host()
    client = Client(host, "a")
    await turns()
    for name in ("x", "y", "z"):
        other = Client(host, name)
        await turns()
        await host.engine.say("a", Accepted)
        await host.engine.say(name, *GETS_ON)
        await host.die()
        other.task.cancel()
        await host.restart()
    assert not client.task.done()
    client.task.cancel()


async def test_nothing_new_begins_beside_a_trial() -> None:
    host = Host()
    old, queued = Client(host, "old"), Client(host, "queued")
    await turns()
    await host.engine.say("old", Accepted, Started)
    await host.engine.say("queued", Accepted)
    await host.die()
    await host.restart()
    new = Client(host, "new")
    await turns()
    assert list(host.engine.mailboxes) == ["old"]
    await host.engine.say("old", *GETS_ON)
    assert sorted(host.engine.mailboxes) == ["new", "old", "queued"]
    for client in (old, queued, new):
        client.task.cancel()


async def test_a_trial_that_takes_long_keeps_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.host.requests.resumable_request._MAX_RETRY_WAIT_S", 0.0)
    host, clients = await at_work("ab")
    await host.die()
    await host.restart()
    clients.append(Client(host, "new"))
    await turns()
    assert list(host.engine.mailboxes) == ["a", "new"]
    for client in clients:
        client.task.cancel()


async def test_a_client_that_goes_away_lets_the_next_one_be_tried() -> None:
    host = Host()
    clients = [Client(host, name) for name in "abcd"]
    await turns()
    for name in "abc":
        await host.engine.say(name, Accepted, Started)
    await host.engine.say("d", Accepted)
    await host.die()
    for client in clients[:2]:  # one is next, one waits until then
        client.task.cancel()
    await host.restart()
    assert list(host.engine.mailboxes) == ["c"]
    clients[2].task.cancel()
    await turns()
    assert list(host.engine.mailboxes) == ["c", "d"]
    clients[3].task.cancel()


async def test_new_requests_need_room_to_wait_for_an_engine_but_not_those_admitted_before() -> None:
    host = Host(is_full=True)
    host.engine.is_alive = False
    new, admitted = Client(host, "new"), Client(host, "admitted", is_admitted=True)
    host.serving = None
    await turns()
    assert isinstance(new.task.exception(), QueueFull)
    await host.restart()
    await host.engine.say("admitted", Accepted, Started, Finished)
    assert admitted.task.result() is None
