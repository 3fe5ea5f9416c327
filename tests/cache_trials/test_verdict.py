"""A case counts as wrong or missed by what its answers and the cold ones say."""

from __future__ import annotations

from concurrent.futures import Future

import pytest

from scripts.cache_trials.case import Check, Expected
from scripts.cache_trials.client import Answer, Choice
from scripts.cache_trials.comparison import Token
from scripts.cache_trials.verdict import Floors, Row, judge


def answer(*logprobs: float, n_prompt: int = 500, n_cached: int = 0, n: int = 1) -> Answer:
    tokens = [Token(b"7", logprob) for logprob in logprobs]
    choice = Choice({"role": "assistant", "content": "7"}, tokens, "length")
    return Answer([choice] * n, n_prompt, n_cached, "memory" if n_cached else "none")


def future(value: Answer) -> Future[Answer]:
    done: Future[Answer] = Future()
    done.set_result(value)
    return done


def judged(check: Check, floors: Floors | None = None) -> Row:
    row = Row("memory")
    judge(row, [check], floors or Floors(), 0.1)
    return row


def test_an_answer_that_equals_the_cold_one_is_counted() -> None:
    row = judged(Check("again", {}, answer(-1.0, n=2), future(answer(-1.05)), Expected()))
    assert (row.n_cases, row.n_answers, row.n_same, row.faults, row.misses) == (1, 2, 2, [], [])
    assert row.worst == pytest.approx(0.05)


def test_an_answer_that_differs_is_wrong_and_its_request_is_named() -> None:
    check = Check("again", {}, answer(-1.0, n_cached=400), future(answer(-2.0)), Expected(400))
    (fault,) = judged(check).faults
    assert fault.startswith("request 0, again: token 0 '7': logprob -1.000, cold -2.000")
    assert "400 of 500 from memory" in fault


def test_a_prompt_of_other_tokens_is_not_compared() -> None:
    check = Check("again", {}, answer(-1.0), future(answer(-2.0, n_prompt=501)), Expected())
    row = judged(check)
    assert (row.n_answers, row.n_other_tokens, row.faults) == (0, 1, [])


@pytest.mark.parametrize(
    ("n_cached", "expected", "floors", "is_missed"),
    [
        (0, Expected(400), Floors(), True),
        (399, Expected(400), Floors(), False),
        (399, Expected(400, 600), Floors(), True),
        (399, Expected(400, 600), Floors(turn=0), False),
        (0, Expected(400, 600), Floors(head=0, turn=0), False),
        (0, Expected(), Floors(), False),
        (0, Expected(30), Floors(), False),
        (570, Expected(400, 600), Floors(turn=1.0), False),
    ],
)
def test_too_little_cached_is_a_miss(
    n_cached: int, expected: Expected, floors: Floors, is_missed: bool
) -> None:
    check = Check("again", {}, answer(-1.0, n_cached=n_cached), future(answer(-1.0)), expected)
    assert bool(judged(check, floors).misses) == is_missed


def test_a_prompt_that_lacks_words_has_to_be_told_apart() -> None:
    for logprob, n_blind in ((-1.01, 1), (-2.0, 0)):
        control = future(answer(logprob))
        check = Check("again", {}, answer(-1.0), future(answer(-1.0)), Expected(), control)
        row = judged(check)
        assert (row.n_controls, row.n_blind) == (1, n_blind)
