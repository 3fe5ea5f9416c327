"""How many connections there may be, and how long a request may be on its way."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from sanic.exceptions import RequestTimeout
from sanic.http.constants import Stage

from app.web.connections import ConnectionGuard

TIMEOUT_S = 10.0


@dataclass(eq=False)
class FakeConnection:
    """What is looked at of Sanic's protocol."""

    stage: Stage = Stage.IDLE
    unread_body: bool = False
    last_s: float = 0.0
    is_closing: bool = False
    is_read: bool = True
    ended: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.state = {"requests_count": 0}
        self.http: Any = SimpleNamespace(stage=self.stage, request_body=self.unread_body)
        self.transport = SimpleNamespace(is_closing=lambda: self.is_closing)
        self._can_write = SimpleNamespace(is_set=lambda: self.is_read)
        self._time = self.last_s
        self._task = SimpleNamespace(cancel=lambda: self.ended.append("cancelled"))

    def abort(self) -> None:
        self.ended.append("aborted")

    def close(self) -> None:
        self.ended.append("closed")


def looked_at(connection: FakeConnection, *times_s: float) -> list[str]:
    guard = ConnectionGuard(lambda: [connection], lambda: 1)
    for now_s in times_s:
        guard.check(now_s, TIMEOUT_S)
    return connection.ended


def test_a_header_that_takes_too_long_ends_with_an_error_of_its_own() -> None:
    connection = FakeConnection(Stage.REQUEST)
    assert looked_at(connection, 0, 5, 10) == []
    assert looked_at(connection, 0, 5, 10.1) == ["cancelled"]
    assert isinstance(connection.http.exception, RequestTimeout)


def test_an_unread_body_that_takes_too_long_ends_the_connection() -> None:
    assert looked_at(FakeConnection(Stage.IDLE, unread_body=True), 0, 10.1) == ["aborted"]


@pytest.mark.parametrize("stage", [Stage.IDLE, Stage.HANDLER, Stage.RESPONSE])
def test_waiting_working_and_answering_take_as_long_as_they_take(stage: Stage) -> None:
    assert looked_at(FakeConnection(stage), 0, 100) == []


@pytest.mark.parametrize("stage", [Stage.HANDLER, Stage.RESPONSE])
def test_an_answer_that_waits_too_long_for_earlier_ones_to_be_read_ends_the_connection(
    stage: Stage,
) -> None:
    connection = FakeConnection(stage, is_read=False)
    assert looked_at(connection, 0, 5, 10) == []
    assert looked_at(connection, 0, 10.1) == ["aborted"]


def test_each_request_has_the_whole_time() -> None:
    connection = FakeConnection(Stage.REQUEST)
    guard = ConnectionGuard(lambda: [connection], lambda: 1)
    for now_s in range(0, 100, 8):
        connection.state["requests_count"] += 1
        guard.check(now_s, TIMEOUT_S)
    assert connection.ended == []


def test_a_connection_that_just_ended_is_left_alone() -> None:
    connection = FakeConnection()
    connection.http = None
    assert looked_at(connection, 0, 100) == []


# ---------------------------------------------------------------- how many


def refuses(*connections: FakeConnection, most: int) -> bool:
    """Return whether one more connection is refused."""
    served = asyncio.Protocol()
    guard = ConnectionGuard(lambda: connections, lambda: most, lambda: served)
    return guard.protocol() is not served


def test_one_more_than_allowed_is_refused_where_all_are_busy() -> None:
    busy = [FakeConnection(stage) for stage in (Stage.REQUEST, Stage.HANDLER, Stage.RESPONSE)]
    assert not refuses(*busy, most=4)
    assert refuses(*busy, most=3)
    assert all(connection.ended == [] for connection in busy)


def test_the_longest_idle_connection_makes_room() -> None:
    busy = FakeConnection(Stage.HANDLER)
    younger, older = FakeConnection(last_s=9.0), FakeConnection(last_s=5.0)
    assert not refuses(busy, younger, older, most=3)
    assert (busy.ended, younger.ended, older.ended) == ([], [], ["closed"])


def test_a_connection_that_is_closing_makes_no_room_again() -> None:
    closing = FakeConnection(is_closing=True)
    assert refuses(closing, most=1)
    idle = FakeConnection(last_s=9.0)
    assert not refuses(closing, idle, most=2)
    assert (closing.ended, idle.ended) == ([], ["closed"])


def test_what_still_reads_a_body_away_is_not_idle() -> None:
    assert refuses(FakeConnection(unread_body=True), most=1)
