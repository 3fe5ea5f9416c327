"""What the expressions of a grammar admit and refuse, asked of llguidance itself."""

from __future__ import annotations

from typing import Any

import pytest
from llguidance import LLMatcher

from app.chat.grammar.lark import Grammar, sequence
from tests.chat.grammar.grammar_walks import Vocabulary

TAGS = ("<call>", "</call>", "<|mark|>")
TOKENS, BYTES = Vocabulary(TAGS), Vocabulary()
AWKWARD = "a/b \\ \"q\" 's' //\n\r\n\t\x01\x7f ü 😀 \u2028 %json {x} <[1]> #"


def over(words: Vocabulary) -> Grammar:
    return Grammar(TAGS, words.ids.get)


def of_bytes(grammar: Grammar, expression: str, text: str) -> bool:
    return BYTES.admits(grammar.text(expression), text)


def schema_admits(schema: dict[str, Any] | bool, text: str) -> bool:
    grammar = Grammar()
    return of_bytes(grammar, grammar.schema(schema), text)


# ---------------------------------------------------------------- literals


@pytest.mark.parametrize("words", [TOKENS, BYTES])
@pytest.mark.parametrize("text", [AWKWARD, "<call>", "a<call><|mark|> </call", "x</call>\n"])
def test_a_literal_is_this_text_and_no_other(words: Vocabulary, text: str) -> None:
    grammar = over(words)
    written = grammar.text(grammar.literal(text))
    assert words.admits(written, text)
    for other in (text[:-1], text + "a", text.upper() + "!"):
        assert not words.admits(written, other)


def test_a_tag_that_is_a_token_is_not_spelt() -> None:
    grammar = over(TOKENS)
    matcher = TOKENS.matcher(grammar.text(grammar.literal("<call>")))
    assert matcher.try_consume_tokens(list(b"<call>")) == 0
    assert matcher.try_consume_tokens([TOKENS.ids["<call>"]]) == 1


def test_nothing_is_a_literal_too() -> None:
    grammar = Grammar()
    assert of_bytes(grammar, sequence(grammar.literal(""), grammar.literal("a")), "a")
    assert of_bytes(grammar, sequence(), "")


# ---------------------------------------------------------------- text up to an end

ENDS = ["</call>", "\n</call>", "</<|mark|>end>", "]]>"]
texts = pytest.mark.parametrize("text", ["", AWKWARD, "</cal </ call> ]] <|mark", "</x>\n" * 9])


@pytest.mark.parametrize("words", [TOKENS, BYTES])
@pytest.mark.parametrize("end", ENDS)
@texts
def test_text_goes_on_up_to_the_first_end(words: Vocabulary, end: str, text: str) -> None:
    grammar = over(words)
    matcher = words.matcher(grammar.text(grammar.text_before(end)))
    tokens = words.tokens_of(text + end)
    assert matcher.try_consume_tokens(tokens) == len(tokens)
    assert matcher.is_stopped()
    assert matcher.stop_reason() == "NoExtension"


@pytest.mark.parametrize("end", ENDS)
def test_an_end_that_is_a_token_is_not_spelt_in_the_text(end: str) -> None:
    grammar = over(TOKENS)
    spelt = list(f"a{end}b{end}".encode())
    matcher = TOKENS.matcher(grammar.text(grammar.text_before(end)))
    assert matcher.try_consume_tokens(spelt) < len(f"a{end}".encode()) + (end == "]]>")


@pytest.mark.parametrize("words", [TOKENS, BYTES])
@pytest.mark.parametrize("end", ENDS)
def test_limits_hold_for_all_of_the_text(words: Vocabulary, end: str) -> None:
    grammar = over(words)
    written = grammar.text(grammar.text_before(end, limits=["[a-z/]*", "(?s:.{2,4})"]))
    for text in ("ab", "a//b"):
        assert words.admits(written, text + end)
    for text in ("", "a", "abcde", "aB", "a\n"):
        assert not words.admits(written, text + end)


def test_what_stops_the_text_may_be_less_than_its_end() -> None:
    grammar = Grammar()
    text = grammar.text_before("\n</p>\n", stop="</p>")
    assert of_bytes(grammar, text, "a\n\n</p>\n")
    assert not of_bytes(grammar, text, "a</p>\n</p>\n")


def test_long_limits_take_no_time() -> None:
    grammar = Grammar()
    text = grammar.text_before("</p>", limits=["(?s:.{0,1000000})", "[^<]*"])
    assert of_bytes(grammar, text, "a" * 1000 + "</p>")


# ---------------------------------------------------------------- the rest


@pytest.mark.parametrize(
    ("regex", "text"),
    [
        ("a/b", "a/b"),
        (r"a\/b", "a/b"),
        ("[/]+", "//"),
        ("a\nb", "a\nb"),
        ("a\r\nb", "a\r\nb"),
        (r"\\/", "\\/"),
        ('"[^"]*"', '"ü"'),
        ("a|b", "b"),
    ],
)
def test_a_pattern_matches_all_of_a_text(regex: str, text: str) -> None:
    grammar = Grammar()
    expression = sequence(grammar.literal("("), grammar.pattern(regex), grammar.literal(")"))
    assert of_bytes(grammar, expression, f"({text})")
    assert not of_bytes(grammar, expression, f"({text}?)")


def test_either_is_one_of_its_options() -> None:
    grammar = Grammar()
    names = [grammar.literal(name) for name in ("get", "get_all", "x")]
    expression = sequence(grammar.either(names), grammar.literal("("))
    assert all(of_bytes(grammar, expression, f"{name}(") for name in ("get", "get_all", "x"))
    assert not any(of_bytes(grammar, expression, f"{name}(") for name in ("", "get_", "getx"))
    assert grammar.either(names[:1]) == names[0]
    with pytest.raises(ValueError, match="no options"):
        grammar.either([])


@pytest.mark.parametrize(
    ("least", "most", "right", "wrong"),
    [
        (0, None, ["", "a", "a,a,a"], [",", "a,", "aa"]),
        (2, None, ["a,a", "a,a,a"], ["", "a"]),
        (0, 2, ["", "a", "a,a"], ["a,a,a"]),
        (1, 1, ["a"], ["", "a,a"]),
        (0, 0, [""], ["a"]),
    ],
)
def test_something_repeated(
    least: int, most: int | None, right: list[str], wrong: list[str]
) -> None:
    grammar = Grammar()
    several = grammar.repeated(grammar.literal("a"), ",", least, most)
    expression = sequence(grammar.literal("["), several, grammar.literal("]"))
    assert all(of_bytes(grammar, expression, f"[{text}]") for text in right)
    assert not any(of_bytes(grammar, expression, f"[{text}]") for text in wrong)


def test_an_expression_may_stand_in_itself() -> None:
    grammar = Grammar()
    inner = sequence(grammar.literal("x"), grammar.pattern("y"))
    nested = grammar.recursive(lambda name: f'"(" {name} ")" | {inner}')
    after = grammar.literal("z") + " " + grammar.pattern("z+")
    assert of_bytes(grammar, sequence(nested, after), "((xy))zzz")
    assert not of_bytes(grammar, nested, "((xy)")


def test_dense_json_has_no_spaces() -> None:
    grammar = Grammar()
    dense = grammar.schema({"type": "array", "items": {"type": "null"}}, is_dense=True)
    assert of_bytes(grammar, dense, "[null,null]")
    assert not of_bytes(grammar, dense, "[null, null]")


def test_the_same_rule_is_written_once() -> None:
    grammar = Grammar()
    assert grammar.pattern("a+") == grammar.pattern("a+") != grammar.pattern("b+")
    assert grammar.text_before("x", limits=["a"]) == grammar.text_before("x", limits=["a"])


@pytest.mark.parametrize(
    ("schema", "right", "wrong"),
    [
        ({"type": "integer"}, "-7", "7.5"),
        (True, '{"a": [1, null]}', "x"),
        ({"type": "string"}, '"a/\\"ü\\n"', '"a'),
        (
            {"type": "object", "properties": {"a": {"type": "null"}, "b": {"type": "boolean"}}},
            '{"a": null, "b": true}',
            '{"a":null,"b":true}',
        ),
        ({"type": "object", "properties": {"a": {}}}, "{}", '{"b": 1}'),
        ({"type": "array", "items": {"enum": ["x/y", 1]}}, '["x/y", 1]', '["x/y",1]'),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"const": "ü"}}}, '"ü"', '"u"'),
    ],
)
def test_a_schema_is_json_in_the_style_of_pythons_dumps(
    schema: dict[str, Any] | bool, right: str, wrong: str
) -> None:
    assert schema_admits(schema, right)
    assert not schema_admits(schema, wrong)


@pytest.mark.parametrize(("key", "value"), [("format", "nobody-knows"), ("pattern", "(?=a)b")])
def test_what_cannot_be_enforced_is_an_error_only_where_that_is_asked_for(
    key: str, value: str
) -> None:
    schema = {"type": "array", "items": {"type": "string", key: value}}
    for is_strict in (False, True):
        grammar = Grammar()
        written = grammar.text(grammar.schema(schema, is_strict=is_strict))
        assert LLMatcher(BYTES.tokenizer, written, log_level=0).is_error() == is_strict
