"""What a request still has to do and what it reports when it ends."""

from __future__ import annotations

from app.engine.scheduling.request import Clock, Request
from app.protocol import SamplingParams, Timings, Usage


def request(n_prompt: int, max_new: int, *, n_past: int = 0, generated: int = 0) -> Request:
    return Request(
        request_id="r",
        tokens=list(range(n_prompt + generated)),
        n_prompt=n_prompt,
        max_new=max_new,
        sampling=SamplingParams(),
        n_past=n_past,
    )


def test_the_last_prompt_token_of_an_answer_is_not_prefilled() -> None:
    assert request(10, max_new=5).n_prefill == 9
    assert request(10, max_new=5, n_past=9).n_prefill == 0
    assert request(10, max_new=5, n_past=9).n_pending == 1


def test_a_prompt_to_be_kept_ready_is_prefilled_to_its_end() -> None:
    assert request(10, max_new=0).n_prefill == 10
    assert request(10, max_new=0, n_past=9).n_prefill == 1


def test_a_prompt_of_one_token_needs_no_prefill() -> None:
    assert request(1, max_new=5).n_prefill == 0
    assert request(1, max_new=5).n_pending == 1


def test_generated_tokens_are_never_prefill() -> None:
    generating = request(10, max_new=5, n_past=12, generated=3)
    assert (generating.n_prefill, generating.n_pending, generating.n_generated) == (0, 1, 3)


def test_after_a_pause_the_answer_is_prefilled_too_but_for_its_last_token() -> None:
    paused = request(10, max_new=5, n_past=0, generated=3)
    assert (paused.n_prefill, paused.n_pending, paused.n_generated) == (12, 13, 3)
    paused.n_past = 11
    assert paused.n_prefill == 1
    paused.n_past = 12
    assert (paused.n_prefill, paused.n_pending) == (0, 1)


def test_a_paused_prompt_to_be_kept_ready_starts_again() -> None:
    assert request(10, max_new=0, n_past=0).n_prefill == 10


def test_a_part_of_the_prompt_or_all_of_it_is_prefilled() -> None:
    half = request(10, max_new=5, n_past=5)
    assert [half.has_prefilled(n_tokens) for n_tokens in (5, 6, 0)] == [True, False, False]
    assert request(10, max_new=5, n_past=9).has_prefilled(0)


def test_a_checkpoint_is_made_where_it_is_wanted_and_none_is_ahead() -> None:
    half = request(10, max_new=5, n_past=5)
    assert half.checkpoint_within(5) == half.checkpoint_within(4) == 0
    assert half.checkpoint_within(8) == 8
    assert half.checkpoint_within(7) == 7
    assert half.checkpoint_within(9) == 8
    assert list(half.checkpoints) == [7, 8]
    assert half.up_to_limit(100) == 2
    half.n_past = 8
    assert half.checkpoint_within(9) == 9
    assert half.up_to_limit(100) == 1


def test_usage_counts_prompt_cached_and_generated_tokens() -> None:
    done = request(10, max_new=5, n_past=13, generated=3)
    done.n_cached = 4
    assert done.usage() == Usage(prompt_tokens=10, cached_tokens=4, completion_tokens=3)


def test_timings_divide_the_time_into_queue_prompt_and_answer() -> None:
    done = request(10, max_new=5, n_past=13, generated=3)
    done.n_cached = 4
    done.clock = Clock(received_s=100.0, started_s=100.5, first_token_s=102.0)
    assert done.timings(105.0) == Timings(
        queue_ms=500.0,
        ttft_ms=2000.0,
        prompt_n=6,
        prompt_ms=1500.0,
        predicted_n=3,
        predicted_ms=3000.0,
        cache_n=4,
    )


def test_a_request_that_never_sampled_spent_all_its_time_on_the_prompt() -> None:
    done = request(10, max_new=0, n_past=10)
    done.clock = Clock(received_s=100.0, started_s=100.5)
    timings = done.timings(102.0)
    assert (timings.queue_ms, timings.prompt_ms, timings.predicted_ms) == (500.0, 1500.0, 0.0)


def test_a_request_that_never_started_was_queued_all_the_time() -> None:
    waiting = request(10, max_new=5)
    waiting.clock = Clock(received_s=100.0)
    timings = waiting.timings(102.0)
    assert (timings.queue_ms, timings.prompt_ms, timings.predicted_ms) == (2000.0, 0.0, 0.0)


def test_requests_are_told_apart_by_identity() -> None:
    assert request(1, max_new=1) != request(1, max_new=1)
