"""`keep_alive` is read as Ollama reads it: numbers of seconds and Go's durations."""

from __future__ import annotations

import math
from typing import Any

import pytest

from app.api.dialects.ollama.duration import FOREVER_S, seconds_of


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        (300, 300.0),
        (0, 0.0),
        (0.0, 0.0),
        (0.5, 0.5),
        ("0", 0.0),
        ("300", 300.0),
        ("300s", 300.0),
        ("5m", 300.0),
        ("1h30m", 5400.0),
        ("1h1m1.5s", 3661.5),
        (".5s", 0.5),
        ("+2s", 2.0),
        (" 10m ", 600.0),
        ("250ms", 0.25),
        ("1us", 1e-6),
        ("1µs", 1e-6),
        ("1ns", 1e-9),
    ],
)
def test_a_time_is_in_seconds(given: Any, seconds: float) -> None:
    assert seconds_of(given) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "given",
    [
        -1,
        -1.0,
        -0.1,
        -(10**400),
        10**400,
        1e300,
        math.inf,
        -math.inf,
        "-1",
        "-1m",
        "-1h30m",
        "9" * 60,
    ],
)
def test_negative_and_endless_is_for_ever(given: Any) -> None:
    assert seconds_of(given) == FOREVER_S


@pytest.mark.parametrize("given", [None, ""])
def test_nothing_is_the_default(given: Any) -> None:
    assert seconds_of(given) is None


@pytest.mark.parametrize(
    "given",
    [True, False, [], {}, [5], "m", "5 m", "5x", "h5", "1h-5m", "for ever", "1e3s", ".", "1" * 65],
)
def test_anything_else_is_refused(given: Any) -> None:
    with pytest.raises(ValueError, match="duration"):
        seconds_of(given)
