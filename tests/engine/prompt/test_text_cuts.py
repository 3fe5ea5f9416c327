"""A text is cut only where its parts have the tokens of the whole, whatever the vocabulary."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence

import pytest

from app.base.special_token import Newline, SpecialToken, SplitRules
from app.engine.prompt.text_cuts import TextCuts

Part = str | SpecialToken
_SPACES = " \t\n\v\f\r"


def split(text: str, tokens: Iterable[SpecialToken]) -> list[Part]:
    """Return a text as llama.cpp splits it: at one special token after the other."""
    parts: list[Part] = [text] if text else []
    for token in sorted(tokens, key=lambda token: -len(token.text.encode())):
        parts = [piece for part in parts for piece in _split_at(part, token)]
    return parts


def _split_at(part: Part, token: SpecialToken) -> list[Part]:
    if not isinstance(part, str):
        return [part]
    found: list[Part] = []
    rest = part
    while (at := rest.find(token.text)) >= 0:
        left, rest = rest[:at], rest[at + len(token.text) :]
        left = left.rstrip(_SPACES) if token.strips_before else left
        found += [left, token] if left else [token]
        rest = rest.lstrip(_SPACES) if token.strips_after else rest
    return [*found, rest] if rest else found


def cuts(texts: Iterable[str], *more: SpecialToken, written: Sequence[str] = ()) -> TextCuts:
    tokens = [*map(SpecialToken, texts), *more]
    texts = written or [token.text for token in tokens]
    return TextCuts(SplitRules(tokens), texts, lambda _before, _after: True)


def pieces(text: str, *texts: str) -> list[str]:
    return list(cuts(texts).pieces(text, 1))


def test_a_text_is_cut_before_its_special_tokens() -> None:
    text = "<s>a<|end|>\n<|end|>"
    assert pieces(text, "<s>", "<|end|>") == ["<s>a", "<|end|>\n", "<|end|>"]


@pytest.mark.parametrize(
    "other",
    ["<|end|>x", "x<|end|>", "|><|", "x<", ">x", ">>", "<<|end|>>", "a\ufffd"],
)
def test_no_cut_where_another_token_may_take_the_text(other: str) -> None:
    assert pieces("a<|end|>b", "<|end|>", other) == ["a<|end|>b"]


@pytest.mark.parametrize("other", ["<", "|>", "end", "<|", "<|start|>", "<|end", "<|END|>"])
def test_tokens_that_lie_within_a_text_do_not_take_it(other: str) -> None:
    assert pieces("a<|end|>b", "<|end|>", other) == ["a", "<|end|>b"]


def test_no_cut_before_a_token_that_drops_the_space_before_it() -> None:
    texts = cuts([], SpecialToken("<|end|>", strips_before=True))
    assert list(texts.pieces("a <|end|>b", 1)) == ["a <|end|>b"]
    texts = cuts([], SpecialToken("<|end|>", strips_after=True))
    assert list(texts.pieces("a <|end|> b", 1)) == ["a ", "<|end|> b"]


def test_words_and_tokens_that_prompts_do_not_have_are_not_looked_for() -> None:
    assert pieces("a end b", "end") == ["a end b"]
    found = cuts(["<|a|>", "<|b|>"], written=["x<|b|>y"])
    assert list(found.pieces("x<|a|>y<|b|>", 1)) == ["x<|a|>y", "<|b|>"]


def test_a_text_is_cut_before_runs_of_newlines_that_are_user_defined() -> None:
    run = SpecialToken("\n\n", is_user_defined=True)
    assert list(cuts([], run).pieces("a\nb\n\n\nc\n\n", 1)) == ["a\nb", "\n\n\nc", "\n\n"]
    for other in (SpecialToken(".\n"), SpecialToken("<s>", strips_after=True)):
        assert list(cuts([], run, other).pieces("a\n\nb", 1)) == ["a\n\nb"]
    assert pieces("a\n\nb", "\n\n") == ["a\n\nb"], "a control token is not always parsed"


@pytest.mark.parametrize(
    ("newline", "wanted"),
    [
        ("joined", ["a\nb \nc\n\nd\n-"]),
        ("single", ["a\n", "b \nc\n\nd\n-"]),
        ("any", ["a\n", "b \n", "c\n\n", "d\n-"]),
    ],
)
def test_a_text_is_cut_between_lines_where_nothing_is_merged_across(
    newline: Newline, wanted: list[str]
) -> None:
    def found(*tokens: SpecialToken) -> list[str]:
        made = TextCuts(SplitRules(tokens, newline), ["<s>"], lambda _before, _after: True)
        return list(made.pieces("a\nb \nc\n\nd\n-", 1))

    assert found() == found(SpecialToken("\n\n\n")) == found(SpecialToken("a\n")) == wanted
    assert len(found(SpecialToken("\na"))) == 1
    assert len(found(SpecialToken("<s>", strips_before=True))) == 1
    run = found(SpecialToken("\n\n", is_user_defined=True))
    assert run == ["a\nb \nc", "\n\nd\n-"]


def test_a_cut_that_fails_when_it_is_tried_is_not_made() -> None:
    tokens = [SpecialToken("<s>"), SpecialToken("\n", is_user_defined=True)]
    found = TextCuts(SplitRules(tokens), ["<s>"], lambda _before, _after: False)
    assert list(found.pieces("a<s>b\nc", 1)) == ["a<s>b\nc"]


def test_short_parts_stay_together_and_long_ones_alone() -> None:
    found = cuts(["<s>"])
    long = "<s>" + "a" * 9
    assert list(found.pieces(f"<s><s>{long}<s><s>", 10)) == ["<s><s>", long, "<s><s>"]
    assert list(found.pieces("<s>" * 5, 6)) == ["<s><s>", "<s><s>", "<s>"]
    assert list(found.pieces("", 6)) == []


def test_texts_that_begin_alike_have_parts_alike() -> None:
    found, dice = cuts(["<s>"]), random.Random(0)
    for _ in range(200):
        head = "".join(dice.choice(["<s>", "a", "b" * 12]) for _ in range(20)) + "<s>"
        ways = [list(found.pieces(head + end, 10)) for end in ("c" * 40, "<s>d")]
        n_same = sum(len(left) for left, right in zip(*ways, strict=False) if left == right)
        assert len(head) - n_same < 2 * 10 + 12 + 2 * 3


def random_tokens(dice: random.Random) -> list[SpecialToken]:
    """Return special tokens that often overlap."""
    made = {
        "".join(dice.choice("<|>ab\n ") for _ in range(dice.randint(1, 4)))
        for _ in range(dice.randint(1, 4))
    }
    made |= {
        text
        for text in ("<a>", "<ab>", "<a>b", "|<a>", "<|b|>", "\n", "\n\n")
        if dice.random() < 0.5
    }
    strips = dice.random() < 0.3
    return [
        SpecialToken(
            text,
            strips_before=strips and dice.random() < 0.3,
            strips_after=strips and dice.random() < 0.3,
            is_user_defined=dice.random() < 0.5,
        )
        for text in sorted(made)
    ]


WORDS: dict[Newline, re.Pattern[str]] = {
    "joined": re.compile(r".+", re.DOTALL),
    "single": re.compile(r" ?[^\W\d_]+| ?\d+| ?[^\s\w]+|\s+(?!\S)|\s+"),
    "any": re.compile(r"[^\n\w]?[^\W\d_]+|\d| ?[^\s\w]+\n*|\s*\n+|\s+(?!\S)|\s+"),
}


def words(text: str, tokens: list[SpecialToken], newline: Newline) -> list[Part]:
    """Return what no merge goes beyond: special tokens, and words as a pre-tokeniser makes them."""
    return [
        word
        for part in split(text, tokens)
        for word in (WORDS[newline].findall(part) if isinstance(part, str) else [part])
    ]


@pytest.mark.parametrize("newline", WORDS)
@pytest.mark.parametrize("seed", range(8))
def test_parts_are_split_as_the_whole_is(seed: int, newline: Newline) -> None:
    dice = random.Random(seed)
    n_cuts = 0
    for _ in range(100):
        tokens = random_tokens(dice)
        texts = [token.text for token in tokens]
        found = TextCuts(SplitRules(tokens, newline), texts, lambda _before, _after: True)
        some = [*texts, "<", "|", ">", "a", "b", "\n", " ", "<a", "b>", ".\nA", "b\na", "1", "\n1"]
        for _ in range(20):
            text = "".join(dice.choice(some) for _ in range(dice.randint(1, 12)))
            parts = list(found.pieces(text, dice.choice([1, 1, 4])))
            assert "".join(parts) == text
            joined = [word for part in parts for word in words(part, tokens, newline)]
            assert joined == words(text, tokens, newline), (tokens, text, parts)
            n_cuts += len(parts) - 1
    assert n_cuts > 200
