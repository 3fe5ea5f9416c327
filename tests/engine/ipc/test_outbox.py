"""Events leave together, but for urgent ones, which leave at once."""

from __future__ import annotations

from typing import cast

import pytest

from app.engine.ipc.channel import Channel
from app.engine.ipc.outbox import Outbox
from app.protocol import Event, LoadProgress

EVENT = LoadProgress(fraction=0.5)


class Sent:
    """A channel that keeps what was posted and counts the flushes."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.n_flushes = 0

    def post(self, event: Event) -> None:
        self.events.append(event)

    def flush(self) -> None:
        self.n_flushes += 1


class Clock:
    now_s = 1000.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("app.engine.ipc.outbox.time.monotonic", lambda: clock.now_s)
    return clock


def test_events_are_handed_on_in_order_and_sent_by_a_flush() -> None:
    sent = Sent()
    outbox = Outbox(cast(Channel, sent))
    outbox.post(EVENT)
    assert (sent.events, sent.n_flushes) == ([EVENT], 0)
    outbox.flush()
    assert sent.n_flushes == 1


def test_a_flush_is_due_when_the_interval_is_over(clock: Clock) -> None:
    outbox = Outbox(cast(Channel, Sent()), interval_s=0.02)
    outbox.flush()
    assert not outbox.is_due
    clock.now_s += 0.019
    assert not outbox.is_due
    clock.now_s += 0.002
    assert outbox.is_due


def test_an_urgent_event_is_due_at_once_and_only_once(clock: Clock) -> None:
    outbox = Outbox(cast(Channel, Sent()), interval_s=3600.0)
    outbox.flush()
    outbox.expedite()
    assert outbox.is_due
    outbox.flush()
    assert not outbox.is_due


def test_without_an_interval_a_flush_is_always_due(clock: Clock) -> None:
    outbox = Outbox(cast(Channel, Sent()))
    outbox.flush()
    assert outbox.is_due
