"""Calls in formats that write arguments one by one fit a strict tool's schema, or it is refused.

Covers `app.chat.tool_formats.syntax.schema_options`.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import suppress
from decimal import Context, localcontext
from decimal import InvalidOperation as TooLarge
from typing import Any

import pytest

from app.chat.grammar.keywords import EFFECTS
from app.chat.tool_formats.base import ToolSpec
from app.chat.tool_formats.syntax.parameters import kinds_of
from tests.chat.grammar.schema_cases import HELD, Schema
from tests.chat.grammar.test_enforceable import error_of, exact, grammar_of, validator_of
from tests.chat.tool_formats.test_grammars import (
    BY_NAME,
    COMMON_ENDS,
    ENDS,
    block_of,
    calls_in,
    vocabulary,
)

ONE_BY_ONE = [
    "xml-functions", "seed", "glm", "hunyuan", "minimax", "minicpm", "deepseek-dsml",
    "minimax-m3", "kimi-k3", "gemma", "lfm2",
]  # fmt: skip
N_SCHEMAS = 25
TOGETHER: list[Schema] = [
    {"properties": {"x": {"anyOf": [{"minLength": 2}], "minLength": 4, "type": "string"}}},
    {"properties": {"x": {"$ref": "#/$defs/a", "maxLength": 9}}, "$defs": {"a": {"maxLength": 2}}},
    {"properties": {"x": {"allOf": [{"type": ["string", "null"]}, {"type": "string"}]}}},
    {"properties": {"x": {"enum": ["a", 1, None], "type": ["string", "null", "integer"]}}},
    {"properties": {"x": {"anyOf": [False, {"type": "integer"}]}}},
    {"properties": {"x": {"minimum": 5}}, "required": ["x"]},
    {"properties": {"x": {"items": {"$ref": "#"}, "type": "array"}}},
    {"properties": {"x": {"$ref": "#/properties/y"}, "y": {"type": "null"}}, "required": ["x"]},
    {"properties": {"x": {"anyOf": [{"type": "integer", "minimum": 10**9}, {"type": "string"}]}}},
    {"properties": {"x": {"enum": ["5", "null", "a", 7, False]}}, "required": ["x"]},
    {"allOf": [{"properties": {"x": {"type": "integer"}}}, {"required": ["x"]}]},
    {"$ref": "#/$defs/a", "required": ["y"], "$defs": {"a": {"properties": {"y": {"const": "z"}}}}},
]


def schemas() -> Iterator[Schema]:
    """Yield schemas of arguments, for every keyword."""
    yield from ({"type": "object", **schema} for schema in TOGETHER)
    for keyword, cases in HELD.items():
        for schema in (case.schema for case in cases):
            defs: Schema = {key: schema[key] for key in ("$defs", "definitions") if key in schema}
            inner = {key: value for key, value in schema.items() if key not in defs}
            text = json.dumps(schema)
            if keyword in ("format", "$id", "additionalItems") or "\\\\p" in text or "true" in text:
                continue  # the validator reads them in another way
            if '"#"' not in text and "#/properties" not in text:
                properties = {"x": inner, "y": {"type": "null"}}
                yield {"type": "object", "properties": properties, "required": ["x"], **defs}
            if "properties" in schema or schema.get("type") == "object":
                yield {**schema, "type": "object"}


def written_by(name: str, schema: Schema, seed: int) -> tuple[str, Any] | None:
    """Return a random call that a grammar admits, and its arguments; None where there is none."""
    known, tool = BY_NAME[name], ToolSpec("t", schema, is_strict=True)
    if error_of(grammar_of(schema)):
        return None
    try:
        block, grammar = block_of(known, one=True, tools=[tool])
    except ValueError:
        return None
    if error_of(grammar):
        return None
    words, chance = vocabulary(name, False), random.Random(seed)
    ends = [*ENDS.get(name, COMMON_ENDS), '": ', 'b"', "aab" + ENDS.get(name, COMMON_ENDS)[0]]
    n_free = chance.choice([0, 5, 40])
    try:
        text = words.walk(words.matcher(grammar), chance, n_free=n_free, ends=ends)
    except AssertionError:
        return None  # it does not find the end that a pattern asks for
    (call,) = calls_in(known, block.before + block.trigger + text, [tool])
    assert call.complete
    return text, exact(call.arguments)


@pytest.mark.parametrize("name", ONE_BY_ONE)
def test_arguments_fit_the_schema_or_it_is_refused(name: str) -> None:
    known = list(schemas())
    chosen = [
        *known[: len(TOGETHER)],
        *random.Random(name).sample(known[len(TOGETHER) :], N_SCHEMAS),
    ]
    n_held = 0
    for seed, schema in enumerate(chosen):
        with localcontext(Context(prec=10_000, Emax=10**9, Emin=-(10**9))), suppress(TooLarge):
            written = written_by(name, schema, seed)
            if written is not None:
                n_held += 1
                problem = f"{json.dumps(schema)}\n{written}"
                assert validator_of(schema).is_valid(written[1]), problem
    assert n_held > len(chosen) // 2


@pytest.mark.parametrize("name", ["xml-functions", "glm", "minimax", "minimax-m3"])
def test_text_beside_limited_numbers_is_not_read_as_one(name: str) -> None:
    known, words = BY_NAME[name], vocabulary(name, False)
    limited = {"anyOf": [{"type": ["integer", "boolean"], "enum": [700, True]}, {"type": "string"}]}
    parameters: Schema = {"type": "object", "properties": {"x": limited}, "required": ["x"]}
    tool = ToolSpec("t", parameters, is_strict=True)
    _, grammar = block_of(known, one=True, tools=[tool])
    sample = ToolSpec("t", {**tool.parameters, "properties": {"x": {"const": "@@"}}})
    block, other = block_of(known, one=True, tools=[sample])
    written = words.walk(words.matcher(other), random.Random(0), n_free=0)
    for text in ("700", "true", "a b", "x", ""):
        answer = written.replace("@@", text)
        assert words.admits(grammar, answer), text
        (call,) = calls_in(known, block.before + block.trigger + answer, [tool])
        assert validator_of(parameters).is_valid(json.loads(call.arguments)), text
    for text in ("7", "-7.5e3", "false", " 8 "):
        assert not words.admits(grammar, written.replace("@@", text)), text


MALFORMED: list[Any] = [
    None, True, False, -1, 1.5, 1e300, 10**30, "a", "#", "#/a/b", "(", [], [1], ["a"], [{}], {},
    {"a": 1}, {"a": {"$ref": "#"}}, {"(": {}}, [[]],
]  # fmt: skip


def malformed(chance: random.Random, depth: int = 2) -> Any:
    """Return a schema whose keywords have values of any type."""
    if not depth or chance.random() < 0.4:
        return chance.choice(MALFORMED)
    return {
        key: chance.choice([malformed(chance, depth - 1), [malformed(chance, depth - 1)]])
        for key in chance.sample([*EFFECTS], 3)
    }


def test_a_malformed_schema_is_an_error_of_its_own_at_most() -> None:
    for seed in range(400):
        chance = random.Random(seed)
        inner, is_strict = malformed(chance), bool(seed % 2)
        outer = malformed(chance)
        for more in ({"properties": {"a": inner}}, outer if isinstance(outer, dict) else {}):
            tool = ToolSpec("t", {"type": "object", **more}, is_strict=is_strict)
            grammar_of(dict(tool.parameters), is_strict=is_strict)
            for name in ("xml-functions", "gemma", "lfm2", "minimax-m3"):
                with suppress(ValueError):
                    block_of(BY_NAME[name], one=True, tools=[tool])
            kinds_of(tool.parameters, "a")
