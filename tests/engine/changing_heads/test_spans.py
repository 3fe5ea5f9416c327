"""Two token sequences differ in spans; what surrounds these is the same in both."""

from __future__ import annotations

import random
from array import array

from hypothesis import given
from hypothesis import strategies as st

from app.engine.changing_heads.spans import Span, changed_spans, common_suffix

LONG = list(range(100, 400))


def spans(old: list[int], new: list[int]) -> list[Span]:
    return changed_spans(array("i", old), array("i", new))


def replaced(tokens: list[int], *changes: tuple[int, int, list[int]]) -> list[int]:
    """Return tokens with some parts replaced, given from the last one on."""
    for start, end, other in changes:
        tokens = [*tokens[:start], *other, *tokens[end:]]
    return tokens


def test_equal_sequences_have_none() -> None:
    assert spans(LONG, LONG) == spans([], []) == []


def test_a_value_in_the_middle_is_one_span() -> None:
    assert spans(LONG, replaced(LONG, (50, 52, [1, 2]))) == [Span(50, 52, 50, 52)]


def test_a_value_of_another_length_is_one_span() -> None:
    assert spans(LONG, replaced(LONG, (50, 52, [1]))) == [Span(50, 52, 50, 51)]
    assert spans(LONG, replaced(LONG, (50, 52, [1] * 9))) == [Span(50, 52, 50, 59)]


def test_what_is_inserted_or_removed_is_a_span() -> None:
    assert spans(LONG, replaced(LONG, (50, 50, [1, 2, 3]))) == [Span(50, 50, 50, 53)]
    assert spans(LONG, replaced(LONG, (50, 60, []))) == [Span(50, 60, 50, 50)]


def test_values_far_from_one_another_are_spans_of_their_own() -> None:
    new = replaced(LONG, (200, 203, [4]), (100, 101, [2, 3]), (50, 51, [1]))
    assert spans(LONG, new) == [Span(50, 51, 50, 51), Span(100, 101, 100, 102), *spans_at(200)]


def spans_at(start: int) -> list[Span]:
    return [Span(start, start + 3, start + 1, start + 2)]


def test_values_next_to_one_another_are_one_span() -> None:
    new = replaced(LONG, (54, 55, [2]), (50, 51, [1]))
    assert spans(LONG, new) == [Span(50, 55, 50, 55)]


def test_a_moved_part_is_taken_out_and_put_in() -> None:
    new = LONG[:50] + LONG[100:150] + LONG[50:100] + LONG[150:]
    found = spans(LONG, new)
    assert (found[0].start, found[-1].old_end) == (50, 150)
    assert sum(span.end - span.start for span in found) == 50


def test_what_has_nothing_in_common_is_one_span() -> None:
    assert spans([1] * 40, [2] * 30) == [Span(0, 40, 0, 30)]


def test_many_changes_end_in_one_span_up_to_the_common_end() -> None:
    old = list(range(20_000))
    new = [-token if token % 10 == 0 and 0 < token < 19_000 else token for token in old]
    found = spans(old, new)
    assert len(found) <= 64
    assert found[-1].end == 18_991


def test_a_common_end_is_counted_from_behind() -> None:
    assert common_suffix(array("i", [1, 2, 3]), array("i", [9, 2, 3])) == 2
    assert common_suffix(array("i", []), array("i", [1])) == 0


def check(old: list[int], new: list[int]) -> None:
    old_at = at = 0
    for span in spans(old, new):
        assert span.old_end > span.old_start or span.end > span.start
        assert old[old_at : span.old_start] == new[at : span.start]
        assert (span.old_start, span.start) == (old_at, at) or span.old_start > old_at
        old_at, at = span.old_end, span.end
    assert old[old_at:] == new[at:]


@given(st.lists(st.integers(0, 3), max_size=60), st.lists(st.integers(0, 3), max_size=60))
def test_between_the_spans_both_are_the_same(old: list[int], new: list[int]) -> None:
    check(old, new)


@given(st.integers(0, 10**6))
def test_so_they_are_where_a_long_one_was_edited(seed: int) -> None:
    dice = random.Random(seed)
    old = [dice.randrange(50) for _ in range(dice.randrange(1200))]
    new = list(old)
    for _ in range(dice.randrange(8)):
        start = dice.randrange(len(new) + 1)
        part = [dice.randrange(50) for _ in range(dice.randrange(12))]
        new[start : start + dice.randrange(12)] = part
    check(old, new)
