"""What is asked for by name is what is measured, and long ones less often."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.benchmark.measurements import GROUPS, MEASUREMENTS, names_of
from scripts.benchmark.plan import Plan


def test_groups_hold_measurements_and_are_not_named_as_one() -> None:
    assert not GROUPS.keys() & MEASUREMENTS.keys()
    assert {name for members in GROUPS.values() for name in members} <= MEASUREMENTS.keys()


def test_without_names_everything_is_meant() -> None:
    assert names_of(None) == list(MEASUREMENTS)


def test_a_group_is_its_members_and_each_comes_once() -> None:
    assert names_of(["turns", "cache", "stop"]) == [
        "turns",
        "shared",
        "restart",
        "switch",
        "saving",
        "stop",
    ]


@pytest.mark.parametrize(("n_repeats", "n_long"), [(1, 1), (3, 1), (4, 2), (5, 2), (9, 3)])
def test_what_takes_long_is_measured_once_for_three(n_repeats: int, n_long: int) -> None:
    plan = Plan(None, Path("none"), n_threads=1, n_ctx=512, n_repeats=n_repeats, n_tokens=8)
    assert plan.n_long_repeats == n_long
