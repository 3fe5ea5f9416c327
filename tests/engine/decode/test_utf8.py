"""Bytes become the same text however they are cut."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.engine.decode.utf8 import Utf8Assembler
from tests.engine.decode.cuts import CUTS, pieces


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
