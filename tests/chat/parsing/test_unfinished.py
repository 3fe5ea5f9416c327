"""When the end of an answer is the beginning of a call, and when it is text."""

from __future__ import annotations

import pytest

from app.chat.parsing.unfinished import begins_call, begins_tag


@pytest.mark.parametrize("body", ["", "\n", " oops", "7", "\n{"])
def test_a_tag_is_mentioned_where_an_answer_of_text_ends_by_itself_behind_it(body: str) -> None:
    assert not begins_call(body, is_cut=False, mentions=True)
    assert begins_call(body, is_cut=False, mentions=False)
    assert begins_call(body, is_cut=True, mentions=True)


@pytest.mark.parametrize("body", ['\n{"name": "f', "\n<function=", "f\n<arg_key"])
def test_more_than_a_word_behind_the_tag_is_a_call(body: str) -> None:
    assert begins_call(body, is_cut=False, mentions=True)


def test_a_part_of_a_tag_is_text_unless_the_answer_was_cut() -> None:
    assert begins_tag("<tool_c", is_cut=True, has_said=True)
    assert not begins_tag("<tool_c", is_cut=False, has_said=False)
    assert not begins_tag("", is_cut=True, has_said=False)


def test_one_character_behind_a_text_and_the_beginning_of_a_word_are_text() -> None:
    assert not begins_tag("<", is_cut=True, has_said=True)
    assert begins_tag("<", is_cut=True, has_said=False)
    assert not begins_tag("func", is_cut=True, has_said=False)
