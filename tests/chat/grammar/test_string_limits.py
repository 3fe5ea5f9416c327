"""Which texts a JSON schema for strings allows, said in regular expressions."""

from __future__ import annotations

import re
from typing import Any

import pytest

from app.chat.grammar.lark import Grammar, sequence
from app.chat.grammar.string_limits import (
    containing,
    exactly,
    text_limits,
    without_unsayable_patterns,
)
from tests.chat.grammar.grammar_walks import Vocabulary

BYTES = Vocabulary()


def admits(limits: list[str], text: str) -> bool:
    grammar = Grammar()
    body = sequence(grammar.text_before("\x03", limits=limits))
    return BYTES.admits(grammar.text(body), text + "\x03")


def allowed(schema: dict[str, Any], text: str) -> bool:
    return admits(text_limits(schema, is_strict=True), text)


PATTERNS = [
    "^[0-9]{5}$", "a", "^a", "b$", "^a|b$", "^(?:a|b)+$", "(a|b)c", r"^\d+\.\w*$", "^[^/]+/[^/]+$",
    r"^[\w.-]+@[\w-]+$", "^[[]$", "^[]a]$", "^[a&&b]$", "^[a~]$", r"\$|\^", "", "^$", "^a{2,3}$",
    r"^[^\d]$", "^ü$", r"^/\/$", "\n",
]  # fmt: skip
TEXTS = [
    "", "a", "b", "ab", "ba", "xax", "abab", "ac", "xbcx", "12345", "123456", "1.5", "12.", "a/b",
    "a//b", "me.you@ex-ample", "[", "]", "&", "~", "$", "^", "aa", "aaa", "aaaa", "ü", "//", "\n",
    "x\ny",
]  # fmt: skip


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_allows_what_validators_allow(pattern: str) -> None:
    # Python ends a text before its last line break, and warns of what it may read otherwise once.
    in_python = pattern.removesuffix("$") + (r"\Z" if pattern.endswith("$") else "")
    in_python = in_python.replace("[[]", r"\[").replace("&&", "&").replace("b$|", r"b\Z|")
    for text in TEXTS:
        is_found = re.search(in_python, text) is not None
        assert allowed({"pattern": pattern}, text) == is_found, text


@pytest.mark.parametrize(
    "pattern",
    ["(?=a)b", "(?!a)b", "(?<=a)b", r"(a)\1", r"\bfoo", "a(^b)", "a*?", "(?i)a", r"\p{L}", "(a"],
)
def test_what_no_expression_can_say_is_ignored_or_refused(pattern: str) -> None:
    assert text_limits({"pattern": pattern}) == []
    with pytest.raises(ValueError, match="pattern"):
        text_limits({"pattern": pattern}, is_strict=True)


@pytest.mark.parametrize(
    ("wanted", "right", "wrong"),
    [
        ("date", "2026-12-31", "2026-02-30"),
        ("date", "2026-02-28", "2026-13-01"),
        ("time", "23:59:59Z", "24:00:00Z"),
        ("date-time", "2026-01-30T08:00:00.5+01:00", "2026-01-30 08:00"),
        ("email", "a.b@example.org", "a@b@c"),
        ("hostname", "a-b.example", "-a"),
        ("ipv4", "127.0.0.255", "127.0.0.256"),
        ("uuid", "0123abcd-0123-0123-0123-0123456789ab", "0123abcd"),
        ("uri", "https://example.org/?q=1#x", "example org"),
    ],
)
def test_formats_that_are_known_are_held(wanted: str, right: str, wrong: str) -> None:
    assert allowed({"format": wanted}, right)
    assert not allowed({"format": wanted}, wrong)


def test_formats_that_are_not_known_are_ignored_or_refused() -> None:
    assert text_limits({"format": "x"}) == []
    with pytest.raises(ValueError, match="format"):
        text_limits({"format": "x"}, is_strict=True)


def test_length_counts_characters() -> None:
    assert allowed({"minLength": 2, "maxLength": 3}, "ü\n😀")
    assert not allowed({"minLength": 2, "maxLength": 3}, "ü")
    assert not allowed({"maxLength": 0}, "a")
    assert text_limits({"minLength": 0}) == text_limits({"maxLength": "x"}) == []


def test_all_limits_hold_at_once() -> None:
    schema = {"pattern": "^a", "minLength": 2, "format": "hostname"}
    assert allowed(schema, "ab")
    assert not any(allowed(schema, text) for text in ("a", "ba", "a b"))


@pytest.mark.parametrize("text", ["<![CDATA[", "a", "/\n😀\\"])
def test_expressions_for_a_text(text: str) -> None:
    assert admits([exactly(text)], text)
    assert not admits([exactly(text)], text + "a")
    assert admits([containing(text)], f"x{text}y")
    assert not admits([containing(text)], text[:-1])


def test_only_patterns_that_cannot_be_said_are_left_out_of_a_schema() -> None:
    schema = {
        "pattern": "^a$",
        "properties": {"pattern": {"pattern": "(?=a)"}},
        "anyOf": [{"pattern": r"\bx", "type": "string"}],
        "const": {"pattern": "(?=a)"},
    }
    assert without_unsayable_patterns(schema) == {
        "pattern": "^a$",
        "properties": {"pattern": {}},
        "anyOf": [{"type": "string"}],
        "const": {"pattern": "(?=a)"},
    }
