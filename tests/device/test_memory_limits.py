"""Limits leave the device a tenth and the model what it needs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.device.memory_limits import MIB, recommend_limits

GIB = 1024 * MIB
SIZES = st.integers(0, 64 * GIB)


@given(total=SIZES, model=SIZES, cache=st.integers(0, GIB))
def test_the_device_keeps_a_tenth_and_a_quarter_of_a_gibibyte(
    total: int, model: int, cache: int
) -> None:
    limits = recommend_limits(total, model, cache)
    assert 0 <= limits.high <= limits.max
    assert limits.max == 0 or total - limits.max >= max(0.0999 * total, 256 * MIB)


@given(total=SIZES, model=SIZES, cache=st.integers(0, GIB))
def test_a_model_that_fits_gets_more_than_it_needs(total: int, model: int, cache: int) -> None:
    limits = recommend_limits(total, model, cache)
    assert limits.needed >= model + cache
    assert limits.fits == (limits.needed <= limits.max)


@pytest.mark.parametrize(
    ("total", "model", "fits"),
    [(8 * GIB, 3 * GIB, True), (4 * GIB, 3 * GIB, True), (4 * GIB, 4 * GIB, False)],
)
def test_usual_devices(total: int, model: int, fits: bool) -> None:
    limits = recommend_limits(total, model, 128 * MIB)
    assert limits.fits is fits
    assert limits.max == total - max(256 * MIB, round(total / 10))
