"""Token counts, times and ends of all answers to one request are told together."""

from __future__ import annotations

import msgspec

from app.api.outcome import Outcome, decode_per_second, per_second
from app.protocol import Finished, TextDelta, Usage
from tests.api.requests import command
from tests.host.fake_engine import TIMINGS


def finished(choice: int, n_completion: int, *, cached: int, reason: str = "stop") -> Finished:
    usage = Usage(
        prompt_tokens=10,
        cached_tokens=cached,
        completion_tokens=n_completion,
        reasoning_tokens=n_completion - 1,
    )
    timings = msgspec.structs.replace(TIMINGS, predicted_n=n_completion)
    return Finished(request_id="r", reason=reason, usage=usage, timings=timings, choice=choice)


ENDS = [
    finished(2, 5, cached=9, reason="length"),
    finished(0, 3, cached=4),
    finished(1, 7, cached=9),
]


def test_a_request_is_complete_with_its_last_answer_and_not_before() -> None:
    outcome = Outcome([command(n=3), command(n=1)])
    complete = [outcome.is_complete]
    for prompt_no, end in [*((0, end) for end in ENDS), (1, finished(0, 1, cached=0))]:
        outcome.note(prompt_no, [TextDelta(request_id="r", text="x"), end])
        complete.append(outcome.is_complete)
    assert complete == [False, False, False, False, True]


def test_times_and_reason_are_those_of_the_first_answer() -> None:
    outcome = Outcome([command(n=3)])
    outcome.note(0, ENDS)
    assert (outcome.timings.predicted_n, outcome.finish_reason) == (3, "stop")
    assert outcome.finished(choice=2).reason == "length"


def test_usage_counts_each_prompt_once_and_the_tokens_of_all_answers() -> None:
    outcome = Outcome([command(n=3), command(n=1)])
    outcome.note(0, ENDS)
    outcome.note(1, [finished(0, 2, cached=1)])
    assert outcome.usage == Usage(
        prompt_tokens=20, cached_tokens=5, completion_tokens=17, reasoning_tokens=13
    )


def test_rates_are_missing_where_no_time_passed_or_nothing_was_done() -> None:
    assert per_second(6, 3000.0) == 2.0
    assert per_second(5, 0.0) is None
    assert per_second(0, 5.0) is None


def test_the_first_token_is_no_part_of_the_speed_of_decode() -> None:
    values = msgspec.structs.replace(TIMINGS, predicted_n=3, predicted_ms=1000.0)
    assert decode_per_second(values) == 2.0
    assert decode_per_second(msgspec.structs.replace(values, predicted_n=1)) is None
    assert decode_per_second(msgspec.structs.replace(values, predicted_n=0)) is None
