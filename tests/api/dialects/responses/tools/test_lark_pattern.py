"""A Lark grammar without recursion is a regular expression."""

from __future__ import annotations

import re

import pytest

from app.api.dialects.responses.tools.lark_pattern import greedy, lark_pattern

PATCH = """
start: begin hunk+ end
begin: "*** Begin Patch" LF
end: "*** End Patch" LF?

hunk: add | delete
add: "*** Add File: " name LF line+
delete: "*** Delete File: " name LF
name: /(.+)/
line: ("+" | "-" | " ") /(.*)/ LF -> changed

%import common.LF
"""


def allows(grammar: str, text: str) -> bool:
    pattern = lark_pattern(grammar)
    assert pattern is not None
    return re.fullmatch(pattern, text) is not None


def test_a_grammar_of_patches_allows_patches_only() -> None:
    patch = "*** Begin Patch\n*** Add File: a.txt\n+hi\n+ there\n*** End Patch"
    assert allows(PATCH, patch)
    assert allows(PATCH, patch + "\n")
    assert not allows(PATCH, patch.replace("Add", "Ad"))
    assert not allows(PATCH, patch.replace("+hi", "hi"))


@pytest.mark.parametrize(
    ("grammar", "good", "bad"),
    [
        ('start: "a" | "b" "c"', ["a", "bc"], ["b", "ac"]),
        ('start: ("a" | "b")~2 "c"~1..3', ["abc", "bbccc"], ["ac", "ab", "abcccc"]),
        ('start: ["-"] "1".."9"', ["-3", "9"], ["0", "--1"]),
        ('start: "ok"i', ["OK", "oK"], ["O"]),
        ('start: "a.+" "\\n"', ["a.+\n"], ["ab+\n"]),
        ("start: /a+?b/", ["aab"], ["b"]),
        ("start: /[/]x\\/y/", ["/x/y"], ["x"]),
        ('?start: x\n!x.2: "a"\n | "b"\n\n  | "c"', ["a", "b", "c"], ["d"]),
        ('// a comment\nstart: X // one more\nX: "//" // and more', ["//"], ["/"]),
        ("start: INT SIGN\n%import common.INT\n%import common.WORD -> SIGN", ["12ab"], ["ab"]),
        ("%import common (INT, WS)\nstart: INT WS", ["1 \n"], ["1"]),
        ('start: A B\nA: B\nB: "b"', ["bb"], ["b"]),
    ],
)
def test_what_a_grammar_says_the_expression_says(
    grammar: str, good: list[str], bad: list[str]
) -> None:
    assert [text for text in good if not allows(grammar, text)] == []
    assert [text for text in bad if allows(grammar, text)] == []


@pytest.mark.parametrize(
    "grammar",
    [
        "",
        'nothing: "a"',
        'start: "(" start ")" | "x"',
        "start: a\na: b\nb: a",
        "start: missing",
        "start: /x/i",
        'start: ("a"',
        'start: "a" )',
        'start: "a"..',
        'start: "ab".."c"',
        'start: "a" & "b"',
        "start: %json {}",
        'start: "a"\n%ignore " "',
        "start: X\n%import other.X",
        "start: X\n%import common.UNHEARD_OF",
        "start: x~999\n" + "".join(f"x{n}: x{n + 1} x{n + 1}\n" for n in range(20)),
        "start: x0\n" + "".join(f"x{n}: x{n + 1} x{n + 1}\n" for n in range(20)) + 'x20: "abc"',
        "start: x0\n" + "".join(f"x{n}: x{n + 1}\n" for n in range(200)) + 'x200: "abc"',
    ],
)
def test_a_grammar_that_recurses_or_is_not_known_has_no_expression(grammar: str) -> None:
    assert lark_pattern(grammar) is None


@pytest.mark.parametrize(
    ("regex", "whole"),
    [
        ("^a+$", "a+"),
        ("a*?b+?c{2}?d??", "a*b+c{2}d?"),
        (r"a\??[*?]", r"a\??[*?]"),
        ("^a|b$", "^a|b$"),
        (r"a\$", r"a\$"),
    ],
)
def test_lazy_repeats_and_outer_anchors_mean_nothing_for_a_whole_text(
    regex: str, whole: str
) -> None:
    assert greedy(regex) == whole
