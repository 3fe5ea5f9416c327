"""An engine that keeps failing is started less and less often, one that worked at once."""

from __future__ import annotations

from app.host.backoff import Backoff


def test_the_first_start_comes_at_once_and_further_ones_later_and_later() -> None:
    backoff = Backoff()
    waits = [backoff.take_s() for _ in range(9)]
    assert waits == [0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]


def test_an_engine_that_worked_is_replaced_at_once() -> None:
    backoff = Backoff()
    waits = [backoff.take_s(), backoff.take_s()]
    backoff.worked()
    assert [*waits, backoff.take_s(), backoff.take_s()] == [0.0, 0.5, 0.0, 0.5]


def test_nobody_waits_for_what_fails_again_and_again() -> None:
    def is_hopeless_after(n_failed: int, backoff: Backoff) -> bool:
        for _ in range(n_failed):
            backoff.failed()
        return backoff.is_hopeless

    backoff = Backoff()
    assert not is_hopeless_after(2, backoff)
    assert is_hopeless_after(1, backoff)
    backoff.started()
    assert not is_hopeless_after(2, backoff)
