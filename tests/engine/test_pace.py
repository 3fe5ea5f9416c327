"""Prefill chunks are as large as the measured speed allows and never stop."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.engine.pace import PrefillPace

TARGET_S = 0.25


def pace(n_batch: int = 512) -> PrefillPace:
    return PrefillPace(target_s=TARGET_S, n_batch=n_batch)


def settle(paced: PrefillPace, tokens_per_s: float) -> None:
    for _ in range(50):
        paced.measured(64, 64 / tokens_per_s)


def test_the_first_chunk_is_small() -> None:
    assert pace().budget == 64


@pytest.mark.parametrize("tokens_per_s", [100, 400, 2000])
def test_a_chunk_takes_about_the_target_time_once_the_speed_is_known(tokens_per_s: int) -> None:
    paced = pace()
    settle(paced, tokens_per_s)
    assert paced.budget == pytest.approx(tokens_per_s * TARGET_S, abs=1)


def test_one_slow_step_changes_the_chunk_only_in_part() -> None:
    paced = pace()
    settle(paced, 1000)
    before = paced.budget
    paced.measured(64, 64.0)
    assert before / 2 < paced.budget < before


def test_a_chunk_is_never_larger_than_a_batch() -> None:
    paced = pace(n_batch=128)
    settle(paced, 100_000)
    assert paced.budget == 128


def test_a_slow_device_still_gets_chunks_that_use_the_batch() -> None:
    paced = pace()
    settle(paced, 1)
    assert paced.budget == 16


def test_a_batch_smaller_than_the_smallest_chunk_limits_it() -> None:
    assert pace(n_batch=1).budget == 1
    assert pace(n_batch=8).budget == 8


@pytest.mark.parametrize(("n_tokens", "seconds"), [(1, 1.0), (15, 1.0), (64, 0.0), (64, -1.0)])
def test_steps_that_tell_nothing_about_prefill_are_ignored(n_tokens: int, seconds: float) -> None:
    paced = pace()
    paced.measured(n_tokens, seconds)
    assert paced.budget == 64


@given(
    st.integers(1, 4096),
    st.lists(st.tuples(st.integers(0, 4096), st.floats(1e-9, 1000)), max_size=20),
)
def test_the_budget_always_lies_between_one_token_and_a_batch(
    n_batch: int, steps: list[tuple[int, float]]
) -> None:
    paced = pace(n_batch)
    for n_tokens, seconds in steps:
        paced.measured(n_tokens, seconds)
        assert 1 <= paced.budget <= n_batch
