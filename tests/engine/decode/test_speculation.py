"""What is guessed, and when guessing pays."""

from __future__ import annotations

import itertools

import pytest

from app.engine.decode.speculation import MOST_GUESSED, BatchCost, Speculator

TEXT = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]


def speculator() -> Speculator:
    return Speculator(BatchCost())


def test_what_followed_the_same_tokens_before_is_guessed() -> None:
    guessed = speculator().guess([*TEXT, 99, 1, 2, 3], 0, MOST_GUESSED)
    assert guessed
    assert guessed == TEXT[3 : 3 + len(guessed)]


def test_the_latest_time_counts() -> None:
    tokens = [1, 2, 3, 4, 4, 4, 4, 1, 2, 3, 5, 5, 5, 5, 1, 2, 3]
    assert speculator().guess(tokens, 0, MOST_GUESSED)[:3] == [5, 5, 5]


@pytest.mark.parametrize("loop", [[7], [7, 8], [7, 8, 9, 10]])
def test_a_loop_is_guessed_to_go_on_however_short_it_is(loop: list[int]) -> None:
    tokens = [*TEXT, *loop * 6]
    guessed = speculator().guess(tokens, 0, MOST_GUESSED)
    assert len(guessed) > 2
    assert guessed == (loop * MOST_GUESSED)[: len(guessed)]


def test_what_was_never_there_is_not_guessed() -> None:
    assert speculator().guess([*TEXT, 2, 2], 0, MOST_GUESSED) == []
    assert speculator().guess([1], 0, MOST_GUESSED) == []


def test_tokens_that_come_later_are_known_too() -> None:
    guesses, tokens = speculator(), list(TEXT)
    assert guesses.guess(tokens, 0, MOST_GUESSED) == []
    tokens += [99, 1, 2, 3]
    assert guesses.guess(tokens, 0, MOST_GUESSED)


@pytest.mark.parametrize("most", [0, 1, 2, 5])
def test_no_guess_is_longer_than_there_is_room_for(most: int) -> None:
    assert len(speculator().guess([*TEXT, 99, 1, 2, 3], 0, most)) <= most


def test_where_a_batch_costs_as_much_as_its_tokens_nothing_is_guessed() -> None:
    cost = BatchCost()
    for n_tokens in range(1, 9):
        cost.measured(n_tokens, 0.01 * n_tokens)
    assert Speculator(cost).guess([*TEXT, 99, 1, 2, 3], 0, MOST_GUESSED) == []


def test_where_a_batch_costs_what_a_token_does_as_much_as_possible_is_guessed() -> None:
    cost = BatchCost()
    for n_tokens in range(1, 9):
        cost.measured(n_tokens, 0.01)
    assert len(Speculator(cost).guess([*TEXT, 99, 1, 2, 3], 0, MOST_GUESSED)) == MOST_GUESSED


def test_after_wrong_guesses_there_is_silence_and_each_time_a_longer_one() -> None:
    guesses, tokens, tried = speculator(), [1, 2, 3, 4, 5, 6, 7, 8, 9], []
    for _ in range(400):
        guessed = guesses.guess(tokens, 0, MOST_GUESSED)
        tokens += [1, 2, 3]  # repeats itself, but the model is said to want something else
        if guessed:
            tried.append(len(tokens))
            guesses.judged(len(guessed), 0, len(tokens))
    pauses = [after - before for before, after in itertools.pairwise(tried)]
    assert pauses == sorted(pauses)
    assert pauses[-1] > 2 * pauses[0]


def test_right_guesses_are_followed_by_more() -> None:
    guesses, tokens = speculator(), [*TEXT, 99, 1, 2, 3]
    for _ in range(3):
        guessed = guesses.guess(tokens, 0, MOST_GUESSED)
        assert guessed
        tokens += guessed
        guesses.judged(len(guessed), len(guessed), len(tokens))


def test_costs_that_were_not_measured_follow_from_those_that_were() -> None:
    cost = BatchCost()
    assert cost.of(1) < cost.of(4) < cost.of(20)
    cost.measured(1, 0.5)
    assert cost.of(1) == 0.5
    assert 0.5 < cost.of(2) < cost.of(8) < 8 * 0.5
    cost.measured(64, 100.0)
    assert cost.of(1) == 0.5
