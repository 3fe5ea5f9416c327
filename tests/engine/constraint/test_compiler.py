"""What becomes of grammars, and what is said of those that are none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from app.chat.grammar import Grammar
from app.engine.constraint import Compiler, build_tokenizer
from app.engine.llama import Model
from app.errors import InvalidRequest
from app.protocol import LoadParams
from tests.engine.constraint.vocabulary import SmallVocabulary, allows

COMPILER = SmallVocabulary().compiler
VOCABULARIES = sorted((Path(__file__).parents[4] / "shared" / "data" / "vocab").glob("*.gguf"))


def schema(wanted: dict[str, Any], *, is_strict: bool = True) -> str:
    grammar = Grammar()
    return grammar.text(grammar.schema(wanted, is_strict=is_strict))


def refusal(grammar: str) -> str:
    with pytest.raises(InvalidRequest) as refused:
        COMPILER.matcher(grammar, "response_format")
    assert refused.value.param == "response_format"
    assert "\n" not in refused.value.message
    return refused.value.message


@pytest.mark.parametrize(
    ("wanted", "named"),
    [
        ({"type": "object", "if": {}, "then": {}}, "if"),
        ({"not": {"type": "string"}}, "not"),
        ({"type": "array", "uniqueItems": True}, "uniqueItems"),
        ({"type": "strin"}, "strin"),
        ({"type": "string", "format": "color"}, "color"),
        ({"type": "string", "pattern": "(?=x)y"}, "look-around"),
        ({"type": "string", "minLength": "x"}, "minLength"),
        ({"type": "integer", "minimum": 5, "maximum": 1}, "minimum"),
        ({"$ref": "#/$defs/nowhere"}, "nowhere"),
        ({"$ref": "http://localhost/x"}, "localhost"),
    ],
)
def test_a_schema_that_cannot_be_enforced_is_refused_by_the_name_of_its_keyword(
    wanted: dict[str, Any], named: str
) -> None:
    message = refusal(schema(wanted))
    assert named in message
    assert "x-guidance" not in message, "the client did not write that"


def test_where_nobody_is_strict_unknown_keywords_are_passed_over() -> None:
    COMPILER.matcher(schema({"type": "array", "uniqueItems": True}, is_strict=False), "tools")


def test_a_broken_schema_is_refused_all_the_same() -> None:
    refusal(schema({"type": "strin"}, is_strict=False))


@pytest.mark.parametrize("grammar", ["start: nothing", "start: /(/"])
def test_a_broken_grammar_is_refused(grammar: str) -> None:
    refusal(COMPILER.lark_of(grammar, "response_format"))


def test_what_is_no_grammar_at_all_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="line 1"):
        COMPILER.lark_of("what is this", "grammar")


def test_the_grammars_of_llama_cpp_are_understood() -> None:
    lark = COMPILER.lark_of('root ::= "yes" | "no" [0-9]', "grammar")
    matcher = COMPILER.matcher(lark, "grammar").copy()
    assert allows(matcher.mask(), ord("y"))
    assert allows(matcher.mask(), ord("n"))
    assert not allows(matcher.mask(), ord("x"))


def test_a_grammar_is_compiled_once() -> None:
    grammar = schema({"type": "integer"})
    first = COMPILER.matcher(grammar, "tools")
    for number in range(20):
        COMPILER.matcher(schema({"const": number}), "tools")
        assert COMPILER.matcher(grammar, "tools") is first


def test_grammars_that_nobody_uses_are_forgotten() -> None:
    grammar = schema({"type": "integer"})
    first = COMPILER.matcher(grammar, "tools")
    for number in range(100):
        COMPILER.matcher(schema({"const": number}), "tools")
    assert COMPILER.matcher(grammar, "tools") is not first


@pytest.fixture(scope="module")
def models() -> list[Path]:
    if not VOCABULARIES:
        pytest.skip("no published vocabularies beside this checkout")
    return VOCABULARIES


@pytest.mark.slow
def test_forced_text_has_the_tokens_that_the_tokenizer_gives_it(models: list[Path]) -> None:
    text = '{"city name": "Köln", "unit": ["celsius", "fahrenheit"]}'
    for path in models:
        model = Model(path, LoadParams(n_ctx=256), lambda _: None, vocab_only=True)
        compiler = Compiler(build_tokenizer(model))
        matcher = compiler.matcher(f"start: {json.dumps(text)}\n", "grammar").copy()
        forced = matcher.take_forced()
        assert b"".join(map(model.piece, forced)).decode() == text
        plain = model.tokenize(text, add_special=False, parse_special=False)
        assert forced[1:] == plain[1:], "some put a space before the first"
        assert matcher.is_over
