"""How likely tokens were is computed from the logits as softmax defines it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from app.engine.decode.logprobs import LEAST_LOGPROB, HeldLogprobs, likeliest, log_sum_exp
from app.protocol import TokenLogprob

ROWS = arrays(np.float32, st.integers(2, 60), elements=st.floats(-80, 80, width=32))


def told(logits: list[float], token: int, n_top: int) -> TokenLogprob:
    held = HeldLogprobs("r", 0, n_top, lambda token: f"<{token}>".encode())
    held.add(token, np.array(logits, dtype=np.float32))
    (event,) = held.take()
    (found,) = event.tokens
    return found


def test_probabilities_are_the_softmax_of_the_logits() -> None:
    found = told([1.0, 2.0, 3.0], 1, 3)
    total = sum(map(math.exp, (1, 2, 3)))
    assert found.piece == b"<1>"
    assert found.logprob == pytest.approx(2 - math.log(total), abs=1e-6)
    assert [chance.piece for chance in found.top] == [b"<2>", b"<1>", b"<0>"]
    assert sum(math.exp(chance.logprob) for chance in found.top) == pytest.approx(1.0)


@given(ROWS)
def test_they_add_up_to_one(logits: np.typing.NDArray[np.float32]) -> None:
    total = log_sum_exp(logits)
    assert sum(math.exp(float(logit) - total) for logit in logits) == pytest.approx(1.0, abs=1e-4)


@given(ROWS, st.integers(0, 20))
def test_the_likeliest_come_first(logits: np.typing.NDArray[np.float32], count: int) -> None:
    found = likeliest(logits, count)
    assert len(found) == len(set(found)) == min(count, len(logits))
    best = sorted(map(float, logits), reverse=True)[:count]
    assert [float(logits[token]) for token in found] == best


def test_equal_ones_come_by_id_as_greedy_sampling_takes_them() -> None:
    assert likeliest(np.array([1, 5, 5, 0], dtype=np.float32), 1) == [1]
    assert likeliest(np.array([1, 5, 5, 0], dtype=np.float32), 3) == [1, 2, 0]


def test_an_impossible_token_has_a_number_that_json_can_carry() -> None:
    assert told([0.0, -math.inf], 1, 2).logprob == LEAST_LOGPROB


def test_what_was_taken_is_held_no_longer() -> None:
    held = HeldLogprobs("r", 2, 0, lambda _: b"x")
    assert held.take() == []
    held.add(0, np.zeros(2, dtype=np.float32))
    (event,) = held.take()
    assert (event.request_id, event.choice) == ("r", 2)
    assert held.take() == []
