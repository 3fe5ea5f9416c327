"""What is drafted, and when drafting pays."""

from __future__ import annotations

import itertools

import pytest

from app.engine.decode.speculation import MAX_DRAFT_TOKENS, BatchCost, Speculator

TEXT = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]


def speculator() -> Speculator:
    return Speculator(BatchCost())


def test_what_followed_the_same_tokens_before_is_guessed() -> None:
    draft = speculator().draft([*TEXT, 99, 1, 2, 3], 0, MAX_DRAFT_TOKENS)
    assert draft
    assert draft == TEXT[3 : 3 + len(draft)]


def test_the_latest_time_counts() -> None:
    tokens = [1, 2, 3, 4, 4, 4, 4, 1, 2, 3, 5, 5, 5, 5, 1, 2, 3]
    assert speculator().draft(tokens, 0, MAX_DRAFT_TOKENS)[:3] == [5, 5, 5]


@pytest.mark.parametrize("loop", [[7], [7, 8], [7, 8, 9, 10]])
def test_a_loop_is_guessed_to_go_on_however_short_it_is(loop: list[int]) -> None:
    tokens = [*TEXT, *loop * 6]
    draft = speculator().draft(tokens, 0, MAX_DRAFT_TOKENS)
    assert len(draft) > 2
    assert draft == (loop * MAX_DRAFT_TOKENS)[: len(draft)]


def test_what_was_never_there_is_not_guessed() -> None:
    assert speculator().draft([*TEXT, 2, 2], 0, MAX_DRAFT_TOKENS) == []
    assert speculator().draft([1], 0, MAX_DRAFT_TOKENS) == []


def test_tokens_that_come_later_are_known_too() -> None:
    guesses, tokens = speculator(), list(TEXT)
    assert guesses.draft(tokens, 0, MAX_DRAFT_TOKENS) == []
    tokens += [99, 1, 2, 3]
    assert guesses.draft(tokens, 0, MAX_DRAFT_TOKENS)


@pytest.mark.parametrize("most", [0, 1, 2, 5])
def test_no_guess_is_longer_than_there_is_room_for(most: int) -> None:
    assert len(speculator().draft([*TEXT, 99, 1, 2, 3], 0, most)) <= most


def test_where_a_batch_costs_as_much_as_its_tokens_nothing_is_guessed() -> None:
    cost = BatchCost()
    for n_tokens in range(1, 9):
        cost.measured(n_tokens, 0.01 * n_tokens)
    assert Speculator(cost).draft([*TEXT, 99, 1, 2, 3], 0, MAX_DRAFT_TOKENS) == []


def test_where_a_batch_costs_what_a_token_does_as_much_as_possible_is_guessed() -> None:
    cost = BatchCost()
    for n_tokens in range(1, 9):
        cost.measured(n_tokens, 0.01)
    assert (
        len(Speculator(cost).draft([*TEXT, 99, 1, 2, 3], 0, MAX_DRAFT_TOKENS)) == MAX_DRAFT_TOKENS
    )


def test_after_wrong_guesses_there_is_silence_and_each_time_a_longer_one() -> None:
    guesses, tokens, tried = speculator(), [1, 2, 3, 4, 5, 6, 7, 8, 9], []
    for _ in range(400):
        draft = guesses.draft(tokens, 0, MAX_DRAFT_TOKENS)
        tokens += [1, 2, 3]  # repeats itself, but the model is said to want something else
        if draft:
            tried.append(len(tokens))
            guesses.record(len(draft), 0, len(tokens))
    pauses = [after - before for before, after in itertools.pairwise(tried)]
    assert pauses == sorted(pauses)
    assert pauses[-1] > 2 * pauses[0]


def test_right_guesses_are_followed_by_more() -> None:
    guesses, tokens = speculator(), [*TEXT, 99, 1, 2, 3]
    for _ in range(3):
        draft = guesses.draft(tokens, 0, MAX_DRAFT_TOKENS)
        assert draft
        tokens += draft
        guesses.record(len(draft), len(draft), len(tokens))


def test_costs_that_were_not_measured_follow_from_those_that_were() -> None:
    cost = BatchCost()
    assert cost.of(1) < cost.of(4) < cost.of(20)
    cost.measured(1, 0.5)
    assert cost.of(1) == 0.5
    assert 0.5 < cost.of(2) < cost.of(8) < 8 * 0.5
    cost.measured(64, 100.0)
    assert cost.of(1) == 0.5
