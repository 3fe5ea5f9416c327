"""No stop string is ever shown, however the text arrives."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from app.engine.decode.stop_strings import StopMatcher
from tests.engine.decode.cuts import CUTS, pieces

STOPS = st.lists(st.text("abc", min_size=1, max_size=4), min_size=1, max_size=3, unique=True)


def shown(stops: Sequence[str], parts: Sequence[str]) -> str:
    matcher = StopMatcher(stops)
    return "".join(map(matcher.feed, parts)) + matcher.finish()


@given(st.text("abcx", max_size=30), STOPS, CUTS)
def test_no_cut_lets_a_stop_string_through(text: str, stops: list[str], cuts: list[int]) -> None:
    answer = shown(stops, [text[part] for part in pieces(len(text), cuts)])
    assert text.startswith(answer)
    assert not any(stop in answer for stop in stops)
    if not any(stop in text for stop in stops):
        assert answer == text


@given(st.text("abcx", max_size=30), STOPS, CUTS)
def test_text_ends_where_the_first_stop_string_begins(
    text: str, stops: list[str], cuts: list[int]
) -> None:
    apart = [stop for stop in stops if not any(stop in other for other in stops if other != stop)]
    end = min((text.index(stop) for stop in apart if stop in text), default=len(text))
    assert shown(apart, [text[part] for part in pieces(len(text), cuts)]) == text[:end]


@given(st.text("abcx", max_size=30), STOPS)
def test_only_the_beginning_of_a_stop_string_is_held_back(text: str, stops: list[str]) -> None:
    matcher = StopMatcher(stops)
    answer = ""
    for count, character in enumerate(text, start=1):
        answer += matcher.feed(character)
        if matcher.stopped:
            return
        held = text[len(answer) : count]
        assert not held or any(stop.startswith(held) and stop != held for stop in stops)


def test_a_stop_string_inside_another_cuts_the_same_however_the_text_arrives() -> None:
    assert shown(["abcd", "bc"], ["abcd"]) == shown(["abcd", "bc"], list("abcd"))


def test_held_text_that_turns_out_to_be_no_stop_string_is_shown_when_that_is_clear() -> None:
    matcher = StopMatcher(["user:"])
    assert matcher.feed("the us") == "the "
    assert matcher.feed("ual") == "usual"
    assert not matcher.stopped


def test_held_text_is_released_once_at_the_end() -> None:
    matcher = StopMatcher(["user:"])
    assert matcher.feed("the user") == "the "
    assert matcher.finish() == "user"
    assert matcher.finish() == ""
    assert not matcher.stopped


def test_nothing_is_shown_after_a_stop_string() -> None:
    matcher = StopMatcher(["user:"])
    assert matcher.feed("yes\nuser: and") == "yes\n"
    assert matcher.stopped
    assert matcher.feed("more") == ""
    assert matcher.finish() == ""


def test_a_stop_string_that_begins_anew_inside_its_own_beginning_is_found() -> None:
    assert shown(["aab"], list("aaab!")) == "a"


def test_text_is_held_for_the_stop_string_that_needs_the_most_of_it() -> None:
    assert shown(["user:", "r!"], list("the user: hi")) == "the "
    assert shown(["r!", "user:"], list("the user! hi")) == "the use"


def test_without_stop_strings_text_passes_at_once() -> None:
    matcher = StopMatcher([])
    assert matcher.feed("anything") == "anything"
    assert not matcher.stopped
