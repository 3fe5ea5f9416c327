"""A read waits for text that is still to come, and for no more of it than it needs."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.chat.parsing.incremental import Input, NoCall, Step, n_held

T = TypeVar("T")


def read(make: Callable[[Input], Step[T]], *pieces: str) -> tuple[T, str]:
    """Return what a read returns for a text in pieces, and what of it was not read."""
    text = Input()
    script = make(text)
    remaining = list(pieces)
    try:
        while True:
            next(script)
            if remaining:
                text.add(remaining.pop(0))
            else:
                assert not text.over, "it waits for more than there is"
                text.over = True
    except StopIteration as stop:
        return stop.value, text.rest + "".join(remaining)


@pytest.mark.parametrize(
    ("text", "tags", "expected"),
    [("abc", ("cd",), 1), ("abc", ("x",), 0), ("a<b<", ("<t>", "b<x"), 2), ("", ("a",), 0)],
)
def test_as_much_is_held_as_may_begin_a_tag(
    text: str, tags: tuple[str, ...], expected: int
) -> None:
    assert n_held(text, tags) == expected


@given(st.text("ab<>", max_size=20), st.integers(1, 4))
def test_text_before_a_tag_is_passed_on_and_the_tag_is_read(text: str, n_piece: int) -> None:
    whole = f"{text}|end|rest"
    pieces = [whole[at : at + n_piece] for at in range(0, len(whole), n_piece)]
    passed: list[str] = []
    _, rest = read(lambda source: source.until("|end|", passed.append), *pieces)
    assert "".join(passed) == text
    assert rest == "rest"


def test_a_tag_that_never_comes_is_no_call() -> None:
    with pytest.raises(NoCall):
        read(lambda source: source.until("|end|", lambda _: None), "text")


def test_the_longest_of_several_literals_is_read() -> None:
    found, rest = read(lambda source: source.literal("<a", "<a>", "<b>"), "<", "a", ">", "x")
    assert (found, rest) == ("<a>", "x")


def test_a_literal_that_does_not_come_is_left_alone() -> None:
    assert read(lambda source: source.literal("<a>"), "<b>") == ("", "<b>")


def test_a_literal_that_the_end_cuts_off_counts_as_none() -> None:
    assert read(lambda source: source.literal("<a>"), "<a") == ("", "")


def test_an_expected_literal_that_does_not_come_is_no_call() -> None:
    with pytest.raises(NoCall):
        read(lambda source: source.expect("<a>"), "text")


def test_a_word_ends_at_the_first_other_character() -> None:
    name = re.compile(r"[a-z]*")
    assert read(lambda source: source.word(name), "get_", "x") == ("get", "_x")
    assert read(lambda source: source.word(name), "ge", "t") == ("get", "")


def test_a_word_too_long_for_a_name_is_no_call() -> None:
    with pytest.raises(NoCall):
        read(lambda source: source.word(re.compile(r"[a-z]*")), "a" * 1000)


def test_whitespace_is_skipped_over_pieces() -> None:
    assert read(lambda source: source.skip(), " \n", "\t", "x ") == (None, "x ")


@pytest.mark.parametrize("pieces", [('{"a": [1, "]"]} x',), tuple('{"a": [1, "]"]} x')])
def test_a_json_value_is_passed_on_to_its_end(pieces: tuple[str, ...]) -> None:
    passed: list[str] = []
    _, rest = read(lambda source: source.json_value(passed.append), *pieces)
    assert ("".join(passed), rest) == ('{"a": [1, "]"]}', " x")


@pytest.mark.parametrize("text", ['{"a": ', "{]"])
def test_a_broken_json_value_is_no_call(text: str) -> None:
    with pytest.raises(NoCall):
        read(lambda source: source.json_value(lambda _: None), text)


def test_what_was_read_can_be_given_back() -> None:
    text = Input()
    text.add("<a>b")
    text.record("before ")
    text.take(3)
    assert text.forget() == "before <a>"
    text.take(1)
    assert text.forget() == ""
