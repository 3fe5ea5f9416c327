"""Requests in flight have a mailbox each, and their clients' ids in log records."""

from __future__ import annotations

import asyncio

from structlog.contextvars import bound_contextvars

from app.host.process.in_flight import InFlightRequests
from app.host.process.mailbox import Sentinel
from app.protocol import TextDelta


async def test_an_event_reaches_its_request_only() -> None:
    requests = InFlightRequests()
    first, second = requests.add("a"), requests.add("b")
    delta = TextDelta(request_id="a", text="x")
    requests.deliver(delta)
    requests.deliver(TextDelta(request_id="unknown", text="x"))
    requests.notify_all(Sentinel.IDLE)
    assert await first.take() == [delta, Sentinel.IDLE]
    assert await second.take() == [Sentinel.IDLE]


async def test_waiting_ends_with_the_last_request() -> None:
    requests = InFlightRequests()
    await requests.wait_empty(None)
    requests.add("a")
    requests.add("b")
    waiting = asyncio.create_task(requests.wait_empty(None))
    requests.remove("a")
    await asyncio.sleep(0)
    assert (len(requests), waiting.done()) == (1, False)
    requests.remove("b")
    await waiting


async def test_waiting_ends_at_its_timeout() -> None:
    requests = InFlightRequests()
    requests.add("a")
    await requests.wait_empty(0.0)
    assert len(requests) == 1


def test_log_records_name_requests_by_the_ids_of_their_clients() -> None:
    requests = InFlightRequests()
    assert requests.log_fields() == {}
    with bound_contextvars(request_id="client-1"):
        requests.add("a#0")
        requests.add("a#1")
    assert requests.log_fields() == {"request_id": "client-1"}
    requests.add("b")
    assert requests.log_fields() == {"request_ids": ["client-1", "b"]}
    assert requests.log_fields(["b", "finished"]) == {"request_id": "b"}


def test_log_records_name_a_limited_number_of_requests() -> None:
    requests = InFlightRequests()
    for number in range(100):
        requests.add(str(number))
    assert requests.log_fields() == {"request_ids": [str(number) for number in range(16)]}


async def test_what_waits_for_no_requests_waits_for_those_that_will_follow() -> None:
    requests = InFlightRequests()
    with requests.keep():
        requests.add("first")
        waiting = asyncio.create_task(requests.wait_empty(None))
        requests.remove("first")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        requests.add("second")
    assert not waiting.done()
    requests.remove("second")
    await waiting


async def test_requests_that_should_follow_need_not_come() -> None:
    requests = InFlightRequests()
    with requests.keep(), requests.keep():
        waiting = asyncio.create_task(requests.wait_empty(None))
    await waiting
