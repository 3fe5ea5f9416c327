"""Prefill chunks are as large as the measured speed allows, and waits are foretold by it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.engine.scheduling.request import Request
from app.engine.system.throughput import TILE_ROWS, Throughput
from app.protocol import SamplingParams

TARGET_S = 0.25


def throughput(n_batch: int = 512) -> Throughput:
    return Throughput(target_s=TARGET_S, n_batch=n_batch)


def count_written(paced: Throughput, tokens_per_s: float) -> None:
    for _ in range(50):
        paced.measured(64, 0, 64 / tokens_per_s)


def settle_decode(paced: Throughput, tokens_per_s: float) -> None:
    for _ in range(50):
        paced.measured(0, 4, 4 / tokens_per_s)


def waiting(n_prompt: int, max_new: int = 0) -> Request:
    return Request(
        request_id="r",
        tokens=[1] * n_prompt,
        n_prompt=n_prompt,
        max_new=max_new,
        sampling=SamplingParams(),
    )


# ---------------------------------------------------------------- chunks


def test_the_first_chunk_is_small() -> None:
    assert throughput().chunk(1) == 16
    assert Throughput(target_s=TARGET_S, n_batch=512, first_chunk=32).chunk(1) == 32


@pytest.mark.parametrize("tokens_per_s", [50, 100, 180, 400, 1000, 2000])
def test_a_chunk_takes_about_the_target_time_once_the_speed_is_known(tokens_per_s: int) -> None:
    paced = throughput()
    count_written(paced, tokens_per_s)
    assert 0.6 < paced.chunk(1) / (tokens_per_s * TARGET_S) < 1.3


@pytest.mark.parametrize("n_generating", [1, 2, 7])
def test_a_large_step_fills_whole_tiles(n_generating: int) -> None:
    paced = throughput()
    for tokens_per_s, n_rows in ((210, TILE_ROWS), (400, TILE_ROWS), (500, 2 * TILE_ROWS)):
        count_written(paced, tokens_per_s)
        assert paced.chunk(n_generating) + n_generating == n_rows


def test_while_nobody_generates_a_step_is_a_whole_tile_however_slow_the_device() -> None:
    paced = throughput()
    assert paced.chunk(0) == TILE_ROWS
    count_written(paced, 1)
    assert paced.chunk(0) == TILE_ROWS
    count_written(paced, 500)
    assert paced.chunk(0) == 6 * TILE_ROWS
    assert paced.chunk(1) < 3 * TILE_ROWS


def test_a_chunk_follows_the_target_time() -> None:
    short, long = (Throughput(target_s=target_s, n_batch=512) for target_s in (0.1, 0.4))
    for paced in (short, long):
        count_written(paced, 1000)
    assert long.chunk(1) > 3 * short.chunk(1)


def test_one_slow_step_changes_the_chunk_only_in_part() -> None:
    paced = throughput()
    count_written(paced, 1000)
    before = paced.chunk(1)
    paced.measured(64, 0, 64.0)
    assert before / 4 < paced.chunk(1) < before


def test_a_chunk_beside_running_answers_is_as_large_as_their_patience() -> None:
    alone, beside = throughput(), throughput()
    count_written(alone, 1000)
    for _ in range(50):
        beside.measured(64, 3, 0.064 * 2)
    assert beside.chunk(1) == pytest.approx(alone.chunk(1) / 2, rel=0.1)


def test_a_chunk_is_never_larger_than_a_batch() -> None:
    paced = throughput(n_batch=128)
    count_written(paced, 100_000)
    assert paced.chunk(1) == 128


def test_a_slow_device_still_gets_on() -> None:
    paced = throughput()
    count_written(paced, 1)
    assert paced.chunk(1) == 4


def test_a_device_that_was_slow_for_a_while_is_fast_again() -> None:
    paced = throughput()
    count_written(paced, 1)
    for _ in range(50):
        paced.measured(paced.chunk(1), 0, paced.chunk(1) / 1000)
    assert paced.chunk(1) == pytest.approx(1000 * TARGET_S, rel=0.1)


def test_a_batch_smaller_than_the_smallest_chunk_limits_it() -> None:
    assert throughput(n_batch=1).chunk(0) == 1
    assert throughput(n_batch=3).chunk(1) == 3


@pytest.mark.parametrize(
    ("n_prefill", "n_decode", "seconds"),
    [(1, 0, 1.0), (3, 1, 1.0), (0, 4, 1.0), (64, 0, 0.0), (64, 4, -1.0)],
)
def test_steps_that_tell_nothing_about_prefill_do_not_change_the_chunk(
    n_prefill: int, n_decode: int, seconds: float
) -> None:
    paced = throughput()
    paced.measured(n_prefill, n_decode, seconds)
    assert paced.chunk(1) == 16


@settings(max_examples=100)
@given(
    st.integers(1, 4096),
    st.lists(
        st.tuples(st.integers(0, 4096), st.integers(0, 64), st.floats(1e-9, 1000)), max_size=20
    ),
)
def test_a_chunk_always_lies_between_one_token_and_a_batch(
    n_batch: int, steps: list[tuple[int, int, float]]
) -> None:
    paced = throughput(n_batch)
    for n_prefill, n_decode, seconds in steps:
        paced.measured(n_prefill, n_decode, seconds)
        for n_generating in (0, 1, 9):
            assert min(4, n_batch) <= paced.chunk(n_generating) <= n_batch


def test_decode_speed_counts_the_tokens_of_all_answers() -> None:
    paced = throughput()
    assert paced.decode_tokens_per_s == 0.0
    paced.measured(0, 4, 0.1)
    assert paced.decode_tokens_per_s == pytest.approx(40.0)
    settle_decode(paced, 100)
    assert paced.decode_tokens_per_s == pytest.approx(100.0)


# ---------------------------------------------------------------- waits


def test_with_nothing_waiting_a_retry_is_worth_it_at_once() -> None:
    assert throughput().retry_after_s([]) == 1


def test_a_wait_is_never_less_than_a_second() -> None:
    paced = throughput()
    count_written(paced, 100_000)
    assert paced.retry_after_s([waiting(1)]) == 1


def test_a_wait_is_the_time_of_a_prompt_at_the_measured_speed() -> None:
    paced = throughput()
    count_written(paced, 100)
    assert paced.retry_after_s([waiting(950)]) == 10


def test_a_wait_has_the_time_of_an_answer_once_decode_was_measured() -> None:
    paced = throughput()
    count_written(paced, 1000)
    request = waiting(900, max_new=40)
    assert paced.retry_after_s([request]) == 1
    settle_decode(paced, 10)
    assert paced.retry_after_s([request]) == 5


def test_answers_are_foretold_to_be_as_long_as_the_last_ones() -> None:
    paced = throughput()
    count_written(paced, 1000)
    settle_decode(paced, 10)
    request = waiting(900, max_new=10_000)
    for _ in range(50):
        paced.finished(20)
    short = paced.retry_after_s([request])
    for _ in range(50):
        paced.finished(200)
    assert (short, paced.retry_after_s([request])) == (3, 21)


def test_a_wait_grows_with_what_waits() -> None:
    paced = throughput()
    count_written(paced, 100)
    waits = [paced.retry_after_s([waiting(n_prompt)] * 8) for n_prompt in (100, 1000, 10_000)]
    assert waits == sorted(set(waits))


def test_a_wait_does_not_count_what_is_cached() -> None:
    paced = throughput()
    count_written(paced, 100)
    request = waiting(1000)
    request.n_past = 950
    assert paced.retry_after_s([request]) == 1


def test_nobody_is_sent_away_for_more_than_ten_minutes() -> None:
    paced = throughput()
    count_written(paced, 1)
    assert paced.retry_after_s([waiting(100_000)]) == 600


@settings(max_examples=100)
@given(
    st.lists(st.tuples(st.integers(1, 100_000), st.integers(0, 100_000)), max_size=20),
    st.lists(
        st.tuples(st.integers(0, 4096), st.integers(0, 64), st.floats(1e-6, 1000)), max_size=10
    ),
    st.integers(1, 1000),
)
def test_a_wait_is_whole_seconds_and_longer_prompts_never_shorten_it(
    sizes: list[tuple[int, int]], steps: list[tuple[int, int, float]], more: int
) -> None:
    paced = throughput()
    for step in steps:
        paced.measured(*step)
    wait_s = paced.retry_after_s(waiting(*size) for size in sizes)
    longer_s = paced.retry_after_s(waiting(n + more, max_new) for n, max_new in sizes)
    assert isinstance(wait_s, int)
    assert 1 <= wait_s <= longer_s <= 600
