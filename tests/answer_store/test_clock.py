"""The time of use follows a clock that is set forward, once, and never goes back."""

from __future__ import annotations

from app.answer_store.clock import UseClock


def test_a_clock_that_is_set_forward_is_followed_once() -> None:
    wall_s, running_s = 1000.0, 5.0
    clock = UseClock(0.0, lambda: wall_s, lambda: running_s)
    wall_s, running_s = wall_s + 50.0, running_s + 50.0
    assert (clock.now_s(), clock.jump_s()) == (1050.0, 0.0)
    wall_s += 1_000_000.0
    assert clock.jump_s() == 1_000_000.0
    clock.follow(clock.jump_s())
    assert (clock.now_s(), clock.jump_s()) == (1_001_050.0, 0.0)


def test_a_clock_behind_what_is_kept_goes_on_from_there() -> None:
    wall_s, running_s = 1000.0, 5.0
    clock = UseClock(2000.0, lambda: wall_s, lambda: running_s)
    wall_s, running_s = 10.0, 6.0
    assert (clock.now_s(), clock.jump_s()) == (2001.0, 0.0)
