"""Pauses count as beside the writing unless the server was surely not writing."""

from __future__ import annotations

from scripts.benchmark.cache_watch import Sight, split_gaps_ms, writing_spans


def sights(*seen: tuple[int, int]) -> list[Sight]:
    """One look a second, from 0 s, each answered a tenth later: entries waiting, entries so far."""
    return [
        Sight(float(second), second + 0.1, n_waiting, n_saves)
        for second, (n_waiting, n_saves) in enumerate(seen)
    ]


def test_nothing_is_written_while_no_entry_waits_or_comes() -> None:
    assert writing_spans(sights((0, 4), (0, 4), (0, 4))) == []


def test_writing_may_have_begun_and_ended_between_two_looks() -> None:
    assert writing_spans(sights((0, 4), (0, 4), (1, 5), (1, 5), (0, 5), (0, 5))) == [(1.0, 4.1)]
    assert writing_spans(sights((0, 4), (0, 5), (0, 5))) == [(0.0, 1.1)]


def test_times_of_writing_with_quiet_between_them_stay_apart() -> None:
    seen = sights((1, 5), (0, 5), (0, 5), (0, 6), (0, 6))
    assert writing_spans(seen) == [(0.0, 1.1), (2.0, 3.1)]


def test_each_pause_is_inside_or_outside() -> None:
    times = [0.0, 1.0, 3.0, 3.5, 4.0, 9.0]
    inside, outside = split_gaps_ms(times, [(2.0, 3.2), (8.0, 8.5)])
    assert inside == [2000.0, 500.0, 5000.0]
    assert outside == [1000.0, 500.0]


def test_without_writing_all_pauses_are_outside() -> None:
    assert split_gaps_ms([1.0, 2.0], []) == ([], [1000.0])
    assert split_gaps_ms([1.0], [(0.0, 2.0)]) == ([], [])
