"""A few changes of a value are worth telling, more of other words at one place, others never."""

from __future__ import annotations

import pytest

from app.engine.changing_heads.family import (
    CALM_REQUESTS,
    MIN_TEXTS,
    MIN_VALUES,
    Change,
    HeadFamily,
)
from app.engine.changing_heads.value_kind import ValueKind

HOUR_S = 3600.0


def change(
    kind: ValueKind = "time", *, at_s: float = 0.0, start: int = 10, n_behind: int = 300
) -> Change:
    return Change(
        at_s=at_s,
        start=start,
        n_behind=n_behind,
        n_places=1,
        n_again=n_behind,
        kind=kind,
        before="It is",
        value="12:03",
    )


def family(*changes: Change, has_system: bool = True) -> HeadFamily:
    found = HeadFamily(has_system)
    for each in changes:
        found.changed(each)
    return found


@pytest.mark.parametrize("kind", ["time", "date", "identifier", "number", "state"])
def test_a_value_is_told_after_a_few_changes(kind: ValueKind) -> None:
    changes = [change(kind) for _ in range(MIN_VALUES)]
    assert family(*changes[1:]).telling(1.0) == []
    assert family(*changes).telling(1.0) == changes
    assert family(*changes, has_system=False).telling(1.0) == changes


def test_values_count_together_wherever_they_are() -> None:
    changes = [change("number", start=number * 40, n_behind=number) for number in range(MIN_VALUES)]
    assert family(*changes).telling(1.0) == changes


def test_words_are_told_after_more_changes() -> None:
    changes = [change("text") for _ in range(MIN_TEXTS)]
    assert family(*changes[1:]).telling(1.0) == []
    assert family(*changes).telling(1.0) == changes


def test_words_count_at_one_place_only() -> None:
    elsewhere = [change("text", start=n * 20, n_behind=500 - n * 30) for n in range(12)]
    assert family(*elsewhere).telling(1.0) == []


def test_a_place_is_known_by_what_precedes_or_by_what_follows() -> None:
    grows = [change("text", start=n * 20) for n in range(MIN_TEXTS)]
    shifts = [change("text", n_behind=n * 20) for n in range(MIN_TEXTS)]
    assert family(*grows).telling(1.0) == grows
    assert family(*shifts).telling(1.0) == shifts


def test_words_of_prompts_without_instructions_are_never_told() -> None:
    assert family(*[change("text")] * 12, has_system=False).telling(1.0) == []


def test_changes_of_another_day_do_not_count() -> None:
    daily = [change("date", at_s=day * 24 * HOUR_S) for day in range(12)]
    assert family(*daily).telling(12 * 24 * HOUR_S) == []
    hourly = [change("date", at_s=hour * HOUR_S) for hour in range(12)]
    assert family(*hourly).telling(12 * HOUR_S) == hourly
    assert family(*hourly).telling(40 * HOUR_S) == []


def test_it_ends_after_some_requests_without_a_change() -> None:
    found = family(*[change()] * MIN_VALUES)
    for _ in range(CALM_REQUESTS - 1):
        found.unchanged()
    assert found.telling(1.0)
    found.unchanged()
    assert found.telling(1.0) == []


def test_a_change_begins_the_count_anew() -> None:
    found = family(*[change()] * MIN_VALUES)
    for _ in range(20):
        found.unchanged()
        found.changed(change())
    assert found.telling(1.0)


def test_earlier_heads_that_return_end_it_sooner() -> None:
    found = family(*[change()] * MIN_VALUES)
    found.returned()
    assert found.telling(1.0)
    found.returned()
    assert found.telling(1.0) == []


def test_there_is_a_line_of_the_log_once_an_hour_at_most() -> None:
    found = family()
    assert [found.may_log(at_s) for at_s in (5.0, 6.0, HOUR_S, HOUR_S + 5.0)] == [
        *(True, False, False, True)
    ]
