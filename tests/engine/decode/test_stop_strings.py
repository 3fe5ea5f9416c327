"""Bytes become the same text however they are cut, and no stop string is ever shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from app.engine.decode.stop_strings import StopMatcher, Utf8Assembler

CUTS = st.lists(st.integers(0, 60), max_size=12)
STOPS = st.lists(st.text("abc", min_size=1, max_size=4), min_size=1, max_size=3, unique=True)


def pieces(length: int, cuts: list[int]) -> Iterator[slice]:
    """Yield slices that cover `length` places, cut at `cuts`."""
    marks = [0, *sorted(cut % (length + 1) for cut in cuts), length]
    return (slice(start, end) for start, end in pairwise(marks))


def shown(stops: Sequence[str], parts: Sequence[str]) -> str:
    matcher = StopMatcher(stops)
    return "".join(map(matcher.feed, parts)) + matcher.finish()


# ---------------------------------------------------------------- UTF-8


@given(st.text(max_size=20).map(str.encode) | st.binary(max_size=60), CUTS)
def test_bytes_cut_anywhere_become_the_text_of_the_whole(data: bytes, cuts: list[int]) -> None:
    assembler = Utf8Assembler()
    text = "".join(assembler.feed(data[part]) for part in pieces(len(data), cuts))
    assert text + assembler.finish() == data.decode("utf-8", "replace")


def test_a_character_is_shown_with_its_last_byte_and_not_before() -> None:
    assembler = Utf8Assembler()
    *first, last = (bytes([byte]) for byte in "🦙".encode())
    assert [assembler.feed(piece) for piece in first] == ["", "", ""]
    assert assembler.feed(last) == "🦙"
    assert assembler.finish() == ""


def test_an_unfinished_character_becomes_a_replacement_character_at_the_end() -> None:
    assembler = Utf8Assembler()
    assert assembler.feed(b"a\xf0\x9f\xa6") == "a"
    assert assembler.finish() == "\ufffd"


def test_a_broken_character_does_not_swallow_what_follows() -> None:
    assembler = Utf8Assembler()
    assert assembler.feed(b"\xf0\x9f") + assembler.feed(b"ok") == "\ufffdok"


# ---------------------------------------------------------------- stop strings


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
