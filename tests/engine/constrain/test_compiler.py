"""What becomes of grammars, and what is said of those that are none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from app.chat.grammar.lark import Grammar
from app.engine.constrain import Compiler, build_tokenizer
from app.engine.llama import Model
from app.errors import InvalidRequest
from app.protocol import LoadParams
from tests.engine.constrain.vocabulary import SmallVocabulary, allows

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


# ---------------------------------------------------------------- what is too much


def chain_of_rules(n_rules: int) -> str:
    rules = "\n".join(f"r{at}: r{at + 1}" for at in range(n_rules))
    return f'start: r0\n{rules}\nr{n_rules}: "a"\n'


def chain_of_references(n_references: int) -> str:
    links = {f"d{at}": {"$ref": f"#/$defs/d{at + 1}"} for at in range(n_references)}
    last = {f"d{n_references}": {"const": "a"}}
    return schema({"$ref": "#/$defs/d0", "$defs": {**links, **last}})


@pytest.mark.parametrize("grammar", [chain_of_rules(6_000), chain_of_references(6_000)])
def test_a_long_chain_of_rules_does_not_end_the_process(grammar: str) -> None:
    matcher = COMPILER.matcher(grammar, "grammar").copy()
    assert b"a" in bytes(matcher.take_forced())
    assert matcher.is_over


@pytest.mark.parametrize(
    "wanted",
    [
        {"type": "integer", "multipleOf": 999_983},
        {"type": "integer", "multipleOf": 1e300},
        {"allOf": [{"type": "integer", "multipleOf": prime} for prime in (97, 89, 83)]},
    ],
)
def test_multiples_that_would_take_minutes_to_compile_are_refused(wanted: dict[str, Any]) -> None:
    assert "multipleOf" in refusal(schema(wanted))


def test_escapes_hide_no_multiple() -> None:
    assert "multipleOf" in refusal('start: %json {"multiple\\u004ff": 999983}\n')


@pytest.mark.parametrize("multiple", [1, 5, 0.01, 1000, 0.0001])
def test_usual_multiples_are_enforced(multiple: float) -> None:
    COMPILER.matcher(schema({"type": "number", "multipleOf": multiple}), "tools")


@pytest.mark.parametrize(
    "grammar",
    ["start: start\n", "start: /a[^\\s\\S]/\n", schema({"$ref": "#"})],
)
def test_what_no_answer_could_begin_with_is_refused(grammar: str) -> None:
    refusal(grammar)


def test_a_grammar_that_failed_in_an_answer_is_kept_no_longer() -> None:
    grammar = schema({"const": "kept?"})
    made = COMPILER.matcher(grammar, "tools")
    answer = made.copy()
    answer.take(ord("!"))
    assert answer.error
    assert COMPILER.matcher(grammar, "tools") is not made


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


# ---------------------------------------------------------------- what is kept


def test_a_grammar_is_compiled_once_until_it_is_forgotten() -> None:
    compiler = SmallVocabulary().compiler
    grammar = schema({"type": "integer"})
    made = compiler.matcher(grammar, "grammar")
    assert compiler.matcher(grammar, "grammar") is made
    compiler.forget()
    assert len(compiler) == 0
    assert compiler.matcher(grammar, "grammar") is not made


def test_the_texts_of_the_grammars_that_are_kept_stay_within_bounds() -> None:
    grammars = [schema({"enum": [letter * 100]}) for letter in "abc"]
    n_bytes = len(grammars[0])
    compiler = SmallVocabulary(max_bytes=2 * n_bytes + 1).compiler
    first, second, third = (compiler.matcher(grammar, "grammar") for grammar in grammars)
    assert len(compiler) == 2
    assert compiler.matcher(grammars[2], "grammar") is third
    assert compiler.matcher(grammars[1], "grammar") is second
    assert compiler.matcher(grammars[0], "grammar") is not first


def test_a_grammar_longer_than_all_may_be_serves_and_is_not_kept() -> None:
    compiler = SmallVocabulary(max_bytes=300).compiler
    short = schema({"type": "integer"})
    made = compiler.matcher(short, "grammar")
    compiler.matcher(schema({"enum": ["a" * 1000]}), "grammar")
    assert len(compiler) == 1
    assert compiler.matcher(short, "grammar") is made, "it pushes none out"
