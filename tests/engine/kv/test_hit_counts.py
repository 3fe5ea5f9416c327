"""Misses have reasons, and so has what was cached and not restored."""

from __future__ import annotations

import pytest

from app.engine.kv.hit_counts import Hit, HitCounter, miss_reason, why_not_restored
from tests.engine.fake_llama import shape_of

DENSE, RECURRENT, WINDOW = shape_of(), shape_of(can_cut=False), shape_of(n_window=20)
WHOLE = shape_of(is_whole=True)


@pytest.mark.parametrize(
    ("n_prompt", "n_tokens", "n_matched", "has_entries", "reason"),
    [
        (100, 16, 16, True, ""),
        (100, 0, 0, False, "empty"),
        (100, 0, 15, True, "no_match"),
        (100, 3, 3, False, "no_match"),
        (100, 3, 16, True, "not_restored"),
        (100, 0, 16, False, "not_restored"),
        (15, 0, 3, True, "short_prompt"),
    ],
)
def test_a_miss_has_a_reason(
    n_prompt: int, n_tokens: int, n_matched: int, has_entries: bool, reason: str
) -> None:
    assert miss_reason(n_prompt, n_tokens, n_matched, lambda: has_entries) == reason


def test_where_all_is_restored_nothing_is_to_be_explained() -> None:
    for shape in (DENSE, RECURRENT, WINDOW, WHOLE):
        assert why_not_restored(shape, 40, 40, 40, "corrupt") == ""


def test_the_model_is_the_reason_where_it_could_go_on_nowhere_else() -> None:
    shapes = {"no_state": RECURRENT, "window_lost": WINDOW, "no_room": DENSE}
    assert {why: why_not_restored(shape, 0, 0, 40, "") for why, shape in shapes.items()} == {
        why: why for why in shapes
    }
    assert why_not_restored(WHOLE, 0, 0, 40, "") == "no_state"
    assert why_not_restored(RECURRENT, 20, 20, 40, "corrupt") == "no_state", "20 at best"


@pytest.mark.parametrize(
    ("n_restorable", "failure", "reason"),
    [
        (40, "corrupt", "corrupt"),
        (40, "no_room", "no_room"),
        (40, "", "not_worth_reading"),
        (25, "", "too_few"),
    ],
)
def test_what_was_planned_and_not_done_has_its_own_reason(
    n_restorable: int, failure: str, reason: str
) -> None:
    assert why_not_restored(RECURRENT, 10, n_restorable, 40, failure) == reason


def test_a_few_common_tokens_are_too_few_for_any_model() -> None:
    for shape in (DENSE, RECURRENT, WINDOW, WHOLE):
        assert why_not_restored(shape, 0, 0, 15, "") == "too_few"


def test_the_finer_reasons_add_up_to_the_misses_of_theirs() -> None:
    counter = HitCounter()
    counter.count(Hit(40, "memory", 0.1, 60, "", "no_state"))
    counter.count(Hit(0, "none", 0.0, 60, "not_restored", "no_state"))
    counter.count(Hit(3, "memory", 0.0, 60, "not_restored", "corrupt"))
    counter.count(Hit(0, "none", 0.0, 6, "no_match", "too_few"))
    assert counter.misses == {"not_restored": 2, "no_match": 1}
    assert counter.not_restored == {"no_state": 1, "corrupt": 1}
    assert (counter.by_tier, counter.n_restored) == ({"memory": 1}, 40)
