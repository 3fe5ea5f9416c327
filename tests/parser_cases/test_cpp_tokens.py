"""C++ source becomes tokens: literals stand for what they mean, comments for nothing."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from scripts.parser_cases.cpp_tokens import tokens_of, unescaped


def shown(source: str) -> Sequence[tuple[str, str]]:
    return [(token.kind, token.text) for token in tokens_of(source)][:-1]


def test_names_numbers_marks_and_texts_are_told_apart() -> None:
    assert shown('f("a", 12) != b::c;') == [
        ("name", "f"),
        ("mark", "("),
        ("text", "a"),
        ("mark", ","),
        ("number", "12"),
        ("mark", ")"),
        ("mark", "!="),
        ("name", "b"),
        ("mark", "::"),
        ("name", "c"),
        ("mark", ";"),
    ]


def test_comments_and_directives_are_left_out_and_lines_counted() -> None:
    found = tokens_of("#include <a>\n// one\n/* two\nthree */ x # y\n")
    assert [(token.text, token.line) for token in found if token.kind == "name"] == [
        ("x", 4),
        ("y", 4),
    ]


@pytest.mark.parametrize(
    ("literal", "text"),
    [
        (r'"a\n\"b\"\\"', 'a\n"b"\\'),
        (r'"\xe2\x96\x81|\u2581|\101"', "▁|▁|A"),
        (r'"// no comment"', "// no comment"),
        (r'R"(a\n"b")"', r'a\n"b"'),
        ('R"#(f(")"))#"', 'f(")")'),
        ('R"json({\n  "a": ")"\n})json"', '{\n  "a": ")"\n}'),
        (r"'\n'", "\n"),
        ('""', ""),
    ],
)
def test_a_literal_stands_for_its_text(literal: str, text: str) -> None:
    assert shown(literal) == [("text", text)]


def test_bytes_that_are_no_text_are_replaced() -> None:
    assert unescaped(r"\xff!") == "\ufffd!"
