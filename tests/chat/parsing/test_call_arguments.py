"""The arguments of a call are one JSON object that every reader of JSON takes."""

from __future__ import annotations

import json
import random

import pytest

from app.chat.parsing.call_arguments import ArgumentsText


def taken(text: str, n_piece: int = 10_000) -> tuple[str, bool]:
    """Return what is passed on of `text`, and whether it is whole."""
    arguments = ArgumentsText()
    pieces = (text[at : at + n_piece] for at in range(0, len(text), n_piece))
    return "".join(map(arguments.take, pieces)), arguments.are_whole


@pytest.mark.parametrize(
    "text",
    ["{}", ' {"a": 1}\n', '{"a": {"b": [1.5e3, null, "\\u00e9\\ud83d\\ude00\\\\ud83d"]}}',
     '{"a":1,"a":2}'],
)  # fmt: skip
def test_an_object_passes_as_it_is_and_is_whole(text: str) -> None:
    for n_piece in (1, 2, 5, 100):
        assert taken(text, n_piece) == (text, True)


@pytest.mark.parametrize(
    "text",
    ["", "{", '{"a": 1', '{"a": 1}}', '{"a": 1} x', "[]", '[{"a": 1}]', "null", "5", '"a"', "x",
     '{"a": NaN}', '{"a": -Infinity}', '{"a": 01}', "{'a': 1}", '{"a": 1,}', '{"a": "\\x"}',
     '{"a": "\\u00"}', "{" * 100_000],
)  # fmt: skip
def test_anything_else_is_not_whole(text: str) -> None:
    assert not taken(text)[1]
    if len(text) < 100:
        assert not taken(text, 1)[1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r'{"a": "\ud83d"}', "\ufffd"),
        (r'{"a": "\ude00"}', "\ufffd"),
        (r'{"a": "\ud83d\ud83d\ude00"}', "\ufffd\U0001f600"),
        (r'{"a": "\ud83dx\ude00"}', "\ufffdx\ufffd"),
        (r'{"a": "\ud83d\n"}', "\ufffd\n"),
        (r'{"a": "\ud83d\u0041"}', "\ufffdA"),
        (r'{"a": "\\ud83d"}', "\\ud83d"),
        ('{"a": "two\nlines\tand\x00"}', "two\nlines\tand\x00"),
    ],
)
def test_what_strict_readers_refuse_in_strings_is_put_right(text: str, expected: str) -> None:
    for n_piece in (1, 3, 7, 100):
        passed, is_whole = taken(text, n_piece)
        assert is_whole
        assert json.loads(passed) == {"a": expected}


def test_pieces_make_no_difference() -> None:
    parts = [
        '{"',
        '": "',
        '"}',
        "\\",
        "\\u",
        "\\ud83d",
        "\\ude00",
        "d8",
        "\n",
        '"',
        "a",
        "{",
        "\\\\",
    ]
    for seed in range(300):
        chance = random.Random(seed)
        text = "".join(chance.choices(parts, k=chance.randint(1, 12)))
        assert len({taken(text, n_piece) for n_piece in (1, 2, 3, 100)}) == 1, text
