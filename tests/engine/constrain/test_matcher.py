"""One grammar's state in one answer: what it admits, what it forces, and copies that go apart."""

from __future__ import annotations

import pytest

from app.engine.constrain import Matcher
from tests.engine.constrain.vocabulary import SmallVocabulary, allows

START = '"{" ("a" | "b") "the" "}"'


@pytest.fixture(scope="module")
def vocabulary() -> SmallVocabulary:
    return SmallVocabulary()


@pytest.fixture
def matcher(vocabulary: SmallVocabulary) -> Matcher:
    return vocabulary.matcher(START).copy()


def test_the_mask_has_a_bit_for_each_token_that_may_come(
    vocabulary: SmallVocabulary, matcher: Matcher
) -> None:
    (brace,) = vocabulary("{")
    assert allows(matcher.mask(), brace)
    assert not allows(matcher.mask(), ord("a"))
    matcher.take(brace)
    assert [allows(matcher.mask(), ord(char)) for char in "abc"] == [True, True, False]


def test_forced_tokens_are_taken_as_far_as_there_is_no_choice(
    vocabulary: SmallVocabulary, matcher: Matcher
) -> None:
    assert vocabulary.spelled(matcher.take_forced()) == b"{"
    assert matcher.take_forced() == []
    matcher.take(ord("a"))
    assert vocabulary.spelled(matcher.take_forced()).startswith(b"the}")


def test_a_matcher_is_over_when_its_grammar_admits_nothing_more(matcher: Matcher) -> None:
    is_over = []
    for text in (b"{bthe", b"}"):
        assert matcher.take_text(text)
        is_over.append(matcher.is_over)
    assert is_over == [False, True]
    assert matcher.error == ""


def test_text_that_the_grammar_forbids_leaves_no_trace(matcher: Matcher) -> None:
    before = matcher.mask()
    assert not matcher.take_text(b"{c")
    assert matcher.mask() == before


def test_copies_go_their_own_ways(matcher: Matcher) -> None:
    other = matcher.copy()
    matcher.take_text(b"{a")
    assert other.take_text(b"{b")


def test_as_much_of_a_draft_is_allowed_as_the_grammar_admits(
    vocabulary: SmallVocabulary, matcher: Matcher
) -> None:
    (brace,) = vocabulary("{")
    assert matcher.n_allowed([brace, ord("a"), ord("a")]) == 2
    assert matcher.n_allowed([ord("x")]) == 0


def test_an_original_knows_that_a_copy_failed(vocabulary: SmallVocabulary) -> None:
    original = vocabulary.matcher(START)
    copy = original.copy()
    copy.take(ord("x"))  # not allowed
    assert copy.error
    assert original.has_failed
