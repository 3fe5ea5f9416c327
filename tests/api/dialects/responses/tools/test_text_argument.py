"""A custom tool's text is read while its arguments arrive."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.dialects.responses.tools.text_argument import TextArgument


def read(*pieces: str) -> str:
    argument = TextArgument()
    return "".join(map(argument.feed, pieces)) + argument.end()


@given(st.text(), st.booleans(), st.lists(st.integers(0, 60)), st.sampled_from([None, 1]))
def test_the_text_is_whole_wherever_its_json_is_cut(
    text: str, is_ascii: bool, cuts: list[int], indent: int | None
) -> None:
    written = json.dumps({"input": text}, ensure_ascii=is_ascii, indent=indent)
    at = [0, *sorted(min(cut, len(written)) for cut in cuts), len(written)]
    assert read(*(written[start:end] for start, end in pairwise(at))) == text


@pytest.mark.parametrize("raw", ["", "{}", '{"inputs": "a"}', '{"input": 3}', "ls -l", '["input"]'])
def test_arguments_of_another_form_are_the_text(raw: str) -> None:
    assert read(raw) == read(*raw) == raw


@pytest.mark.parametrize("cut", ["{", '{ "', '{"inp', '{"input"', '{"input": ', '{"input": "'])
def test_arguments_that_were_cut_before_the_text_have_none(cut: str) -> None:
    assert read(cut) == ""


def test_each_piece_adds_what_it_completes() -> None:
    argument = TextArgument()
    pieces = ['{"input"', ': "a', "\\", "n", "\\u00", "e9", "\\ud83e", "\\udd99", '"}', " "]
    assert [argument.feed(piece) for piece in pieces] == [
        *("", "a", "", "\n", "", "é", "", "🦙", "", "")
    ]


@pytest.mark.parametrize("half", ["\\ud83e", "\\udd99", "\\ud83ex", "\\ud83e\\n", "\\ud83e\\u0041"])
def test_half_of_a_pair_is_a_replacement_character(half: str) -> None:
    assert "\N{REPLACEMENT CHARACTER}" in read(*f'{{"input": "{half}"}}')


def test_a_text_that_was_cut_ends_with_its_last_whole_character() -> None:
    assert read('{"input": "ab\\u00') == "ab"
