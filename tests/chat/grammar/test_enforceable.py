"""Whatever the grammar of a JSON schema admits, the schema allows; or it is refused by name.

Covers `app.chat.grammar.keywords`.
"""

from __future__ import annotations

import json
import random
from decimal import Context, Decimal, localcontext
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft4Validator, Draft7Validator, Draft202012Validator, FormatChecker
from llguidance import LLMatcher

from app.chat.grammar.enforceable import enforceable
from app.chat.grammar.keywords import EFFECTS, VOCABULARIES, Effect
from app.chat.grammar.lark import Grammar, refusal_in, sequence
from tests.chat.grammar.grammar_walks import Vocabulary
from tests.chat.grammar.schema_cases import HELD, IMPOSSIBLE, UNHELD, Case, Schema

BYTES = Vocabulary()
FORMATS = FormatChecker(["date", "email", "ipv4", "ipv6", "uuid"])
ENDS = ('": ', ">", '"', 'b"')
PAGE = Path(__file__).parents[3] / "docs" / "json-schema.md"
CASES = [(keyword, case) for keyword, cases in HELD.items() for case in cases]
REFUSED = [(keyword, schema) for keyword, schemas in UNHELD.items() for schema in schemas]


def grammar_of(schema: Schema, *, is_strict: bool = True) -> str:
    grammar = Grammar()
    value = grammar.schema(schema, is_strict=is_strict)
    return grammar.text(sequence(grammar.literal("<"), value, grammar.literal(">")))


def error_of(grammar: str) -> str:
    return refusal_in(grammar) or LLMatcher(BYTES.tokenizer, grammar, log_level=0).get_error()


def exact(text: str) -> Any:
    return json.loads(text, parse_float=Decimal)


def validator_of(schema: Schema) -> Any:
    kind: Any = Draft202012Validator
    if isinstance(schema.get("items"), list):
        kind = Draft7Validator
    if schema.get("exclusiveMinimum") is True:
        kind = Draft4Validator
    return kind(exact(json.dumps(schema)), format_checker=FORMATS)


def walks(schema: Schema, n_walks: int) -> list[str]:
    start = BYTES.matcher(grammar_of(schema))
    found = []
    for seed in range(n_walks):
        chance = random.Random(f"{schema} {seed}")
        text = BYTES.walk(start, chance, n_free=chance.choice([0, 5, 30]), ends=ENDS)
        found.append(text[1:-1])
    return found


# ---------------------------------------------------------------- every keyword


def test_every_keyword_has_schemas_that_show_its_effect() -> None:
    for keyword, effect in EFFECTS.items():
        assert (keyword in HELD) or effect is Effect.UNENFORCED, keyword
        assert (keyword in UNHELD) == (effect in (Effect.UNENFORCED, Effect.PARTLY)) or (
            keyword in ("maximum", "minimum", "multipleOf", "$dynamicAnchor")
        ), keyword


@pytest.mark.parametrize(("keyword", "case"), CASES, ids=lambda part: str(part)[:40])
def test_a_strict_schema_admits_nothing_that_it_does_not_allow(keyword: str, case: Case) -> None:
    grammar = grammar_of(case.schema)
    assert not error_of(grammar), keyword
    for text in case.right:
        assert BYTES.admits(grammar, f"<{text}>"), text
    for text in case.wrong:
        assert not BYTES.admits(grammar, f"<{text}>"), text
    validator = validator_of(case.schema)
    if "\\p" in case.schema.get("pattern", ""):
        return  # Python does not know it
    for text in [*case.right, *([] if keyword == "format" else walks(case.schema, 4))]:
        validator.validate(exact(text))


@pytest.mark.parametrize(("keyword", "schema"), REFUSED, ids=lambda part: str(part)[:40])
def test_what_cannot_be_enforced_is_refused_by_name_only_where_it_is_strict(
    keyword: str, schema: Schema
) -> None:
    error = error_of(grammar_of(schema))
    assert error
    if keyword not in ("oneOf", "patternProperties", "pattern"):
        assert f"{keyword}" in error
        assert "#/" in error
    if keyword != "patternProperties":
        assert not error_of(grammar_of(schema, is_strict=False))


@pytest.mark.parametrize("is_strict", [True, False])
@pytest.mark.parametrize("schema", IMPOSSIBLE, ids=str)
def test_a_schema_that_nothing_fits_is_refused(schema: Schema, is_strict: bool) -> None:
    assert error_of(grammar_of(schema, is_strict=is_strict))


# ---------------------------------------------------------------- keywords together


def random_schema(chance: random.Random, depth: int = 3) -> Any:
    if not depth or chance.random() < 0.25:
        return chance.choice(LEAVES)
    made: Schema = {}
    for key in chance.sample([*MAKERS], chance.choice([1, 2, 3, 4])):
        made |= MAKERS[key](chance, depth - 1)
    return made


LEAVES: list[Any] = [
    {}, True, False, {"type": "integer"}, {"type": "number"}, {"type": "string"}, {"type": "null"},
    {"minimum": 1.5}, {"maximum": 3}, {"exclusiveMinimum": 0}, {"multipleOf": 0.5},
    {"minLength": 2}, {"maxLength": 1}, {"pattern": "^a"}, {"pattern": r"^\S\s?$"},
    {"enum": ["a", 1, [1], {"a": 1}]}, {"const": 1}, {"type": ["object", "null"]},
]  # fmt: skip
INNER = random_schema
MAKERS: dict[str, Any] = {
    "properties": lambda c, d: {
        "properties": {name: INNER(c, d) for name in c.sample(["a", "b", "ab", "xa"], 2)}
    },
    "additional": lambda c, d: {"additionalProperties": INNER(c, d)},
    "patterns": lambda c, d: {"patternProperties": {c.choice(["^a", "^x", "b$"]): INNER(c, d)}},
    "required": lambda c, _: {"required": c.sample(["a", "b", "c"], c.choice([1, 2]))},
    "least": lambda c, _: {"minProperties": c.choice([1, 2])},
    "most": lambda c, _: {"maxProperties": c.choice([1, 2, 3])},
    "items": lambda c, d: {"items": INNER(c, d), "maxItems": 3},
    "prefix": lambda c, d: {"prefixItems": [INNER(c, d), INNER(c, d)], "minItems": 1},
    "all": lambda c, d: {"allOf": [INNER(c, d), INNER(c, d)]},
    "any": lambda c, d: {"anyOf": [INNER(c, d), INNER(c, d)]},
    "one": lambda c, d: {"oneOf": [INNER(c, d), INNER(c, d)]},
    "ref": lambda c, _: {"$ref": c.choice(["#/$defs/d", "#/$defs/e"])},
    "type": lambda c, _: {"type": c.choice(["object", "array", "string", "number"])},
}


def test_keywords_together_admit_nothing_that_the_schema_does_not_allow() -> None:
    n_held = 0
    for seed in range(120):
        chance = random.Random(seed)
        made = random_schema(chance)
        if isinstance(made, bool):
            continue
        schema = {**made, "$defs": {"d": random_schema(chance, 2), "e": random_schema(chance, 2)}}
        if error_of(grammar_of(schema)):
            continue
        n_held += 1
        validator = validator_of(schema)
        for text in walks(schema, 3):
            with localcontext(Context(prec=10_000, Emax=10**9, Emin=-(10**9))):
                assert validator.is_valid(exact(text)), f"{json.dumps(schema)}\n{text}"
    assert n_held > 30


# ---------------------------------------------------------------- what is said of it


def test_the_documentation_names_every_keyword_and_its_effect() -> None:
    page = PAGE.read_text()
    for vocabulary, effects in VOCABULARIES.items():
        for keyword, effect in effects.items():
            assert f"| `{keyword}` | {vocabulary} | {effect.value} |" in page, keyword


def test_a_refusal_names_every_place_in_use() -> None:
    schema = {
        "properties": {"a/b": {"not": {}}, "c": {"$ref": "#/$defs/d"}},
        "$defs": {"d": {"items": {"uniqueItems": True}}, "e": {"contains": {}}},
    }
    wanted = enforceable(schema, is_strict=True)
    assert wanted.refusal == (
        "cannot be enforced: not at #/properties/a~1b/not, uniqueItems at "
        "#/$defs/d/items/uniqueItems"
    )


def test_what_is_not_strict_is_left_out() -> None:
    schema = {"properties": {"a": {"minProperties": 2, "not": {}}, "b": {"const": 2**53 + 1}}}
    wanted = enforceable(schema, is_strict=False)
    assert not wanted.refusal
    assert wanted.schema == {"properties": {"a": {}, "b": {}}}


def test_values_are_no_schemas() -> None:
    schema = {"const": {"not": {}}, "enum": [{"uniqueItems": True}], "default": {"contains": {}}}
    assert enforceable(schema, is_strict=True) == (schema, "", False)
