"""How many connections there may be, and how long a request may be on its way."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from sanic.exceptions import RequestTimeout
from sanic.http.constants import Stage

from app.connections import ConnectionGuard

TIMEOUT_S = 10.0


@dataclass(eq=False)
class FakeConnection:
    """What is looked at of Sanic's protocol."""

    stage: Stage = Stage.IDLE
    unread_body: bool = False
    ended: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.state = {"requests_count": 0}
        self.http: Any = SimpleNamespace(stage=self.stage, request_body=self.unread_body)
        self._task = SimpleNamespace(cancel=lambda: self.ended.append("cancelled"))

    def abort(self) -> None:
        self.ended.append("aborted")


def looked_at(connection: FakeConnection, *times_s: float) -> list[str]:
    guard = ConnectionGuard(lambda: [connection], lambda: 1)
    for now_s in times_s:
        guard.look(now_s, TIMEOUT_S)
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


def test_each_request_has_the_whole_time() -> None:
    connection = FakeConnection(Stage.REQUEST)
    guard = ConnectionGuard(lambda: [connection], lambda: 1)
    for now_s in range(0, 100, 8):
        connection.state["requests_count"] += 1
        guard.look(now_s, TIMEOUT_S)
    assert connection.ended == []


def test_a_connection_that_just_ended_is_left_alone() -> None:
    connection = FakeConnection()
    connection.http = None
    assert looked_at(connection, 0, 100) == []
