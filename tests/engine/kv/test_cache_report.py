"""Where a prompt leaves what is cached, shown as text."""

from __future__ import annotations

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.engine.kv.cache_report import first_difference
from app.protocol import CacheMiss

TOKENS = st.lists(st.integers(0, 2), max_size=12)


def letters(tokens: list[int]) -> str:
    return "".join(map(chr, tokens))


def codes(text: str) -> list[int]:
    return list(map(ord, text))


@given(TOKENS, TOKENS)
def test_all_before_the_first_difference_is_shared(left: list[int], right: list[int]) -> None:
    found = first_difference(left, right, letters)
    index = min(len(left), len(right)) if found is None else found.index
    assert left[:index] == right[:index]
    assert found is None or left[index] != right[index]


def test_lists_of_different_kinds_are_compared_by_their_tokens() -> None:
    found = first_difference([1, 2, 3], array("i", [1, 2, 4]), letters)
    assert found is not None
    assert found.index == 2
    assert first_difference((1, 2), [1, 2], letters) is None


def test_a_difference_is_shown_with_what_is_around_it() -> None:
    found = first_difference(
        codes("Hello world, I say"), codes("Hello there, you"), letters, span=3
    )
    assert found == CacheMiss(index=6, before="lo ", prompt="wor", cached="the")


def test_a_difference_near_the_edges_is_shown_with_what_there_is() -> None:
    assert first_difference(codes("ab"), codes("ac"), letters) == CacheMiss(
        index=1, before="a", prompt="b", cached="c"
    )
    assert first_difference(codes("b"), codes("c"), letters) == CacheMiss(
        index=0, before="", prompt="b", cached="c"
    )


@pytest.mark.parametrize(("prompt", "cached"), [("abc", "ab"), ("ab", "abc"), ("", "ab"), ("", "")])
def test_the_beginning_of_the_other_is_no_difference(prompt: str, cached: str) -> None:
    assert first_difference(codes(prompt), codes(cached), letters) is None
