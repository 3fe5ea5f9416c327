"""A condition starts at once, ends after a quiet period, and flickering changes nothing."""

from __future__ import annotations

from app.device.episode import Episode


def test_a_condition_starts_once_and_ends_after_the_quiet_period() -> None:
    episode = Episode(clear_after_s=10.0)
    steps = [(1.0, True), (2.0, True), (5.0, False), (11.9, False), (12.0, False), (13.0, False)]
    changes = [episode.update(now_s, is_active=active) for now_s, active in steps]
    assert changes == [True, False, False, False, True, False]


def test_a_condition_that_returns_in_the_quiet_period_goes_on() -> None:
    episode = Episode(clear_after_s=10.0)
    episode.update(1.0, is_active=True)
    episode.update(5.0, is_active=False)
    assert not episode.update(9.0, is_active=True)
    assert not episode.update(18.0, is_active=False)
    assert episode.since_s == 1.0
