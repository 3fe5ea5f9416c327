"""What grammars hold models to is what templates write and parsers read, for every format.

Covers `app.chat.tool_formats.syntax.argument_blocks`.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from app.chat.grammar.lark import Grammar
from app.chat.parsing.stream_parser import ParsedCall, collect
from app.chat.tool_formats import FORMATS, ToolFormat, detect
from app.chat.tool_formats.base import CallBlock, ToolSpec
from app.chat.tool_formats.syntax.parameters import Parameter
from app.chat.tool_formats.xml.minimax_m3 import MARK
from app.errors import TemplateRefused
from tests.chat.grammar.grammar_walks import Vocabulary
from tests.chat.tool_formats.test_of_templates import EXPECTED, PATHS, written_by

BY_NAME = {known.name: known for known in FORMATS if known.block}

TOOLS = [
    ToolSpec("ping", {}),
    ToolSpec("get", {"type": "object", "properties": {"text": {"type": "string"}}}),
    ToolSpec(
        "get.all-types_1",
        {
            "type": "object",
            "properties": {
                "maybe": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                "text": {"type": "string"},
                "count": {"type": "integer", "minimum": -5},
                "ratio": {"type": "number"},
                "flag": {"type": "boolean"},
                "nothing": {"type": "null"},
                "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 3},
                "anything": {},
            },
            "required": ["text", "flag", "tags"],
        },
    ),
    ToolSpec(
        "choose",
        {
            "$defs": {
                "unit": {"enum": ["°C", "5", "null", 'a "b"\n\\', "</x>"]},
                "place": {
                    "type": "object",
                    "properties": {"city": {"type": "string"}, "in": {"$ref": "#/$defs/place"}},
                    "required": ["city"],
                },
            },
            "type": "object",
            "properties": {
                "unit": {"$ref": "#/$defs/unit"},
                "place": {"$ref": "#/$defs/place", "description": "Where."},
                "level": {"enum": [1, 2.5, None, True]},
                "only": {"const": "7"},
                "both": {"type": ["string", "object"], "properties": {"a": {"type": "integer"}}},
            },
            "required": ["only"],
        },
    ),
    ToolSpec(
        "limits",
        {
            "type": "object",
            "properties": {
                "zip": {"type": "string", "pattern": "^[0-9]{5}$"},
                "day": {"type": "string", "format": "date"},
                "short": {"type": "string", "minLength": 2, "maxLength": 4},
                "odd": {"type": "string", "pattern": "<|/"},
                "when": {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]},
            },
        },
    ),
    ToolSpec(
        "unions",
        {
            "type": "object",
            "properties": {
                "filter": {
                    "anyOf": [
                        {"type": "array", "items": {"type": "string"}},
                        {
                            "type": "object",
                            "properties": {"field": {"type": "string"}, "op": {"type": "integer"}},
                            "required": ["field"],
                        },
                    ]
                },
                "label": {
                    "oneOf": [
                        {"type": "string"},
                        {
                            "type": "object",
                            "properties": {"a": {"type": "string"}, "b": {"type": "boolean"}},
                        },
                    ]
                },
                "limit": {"type": ["integer", "array"], "items": {"type": "integer"}},
                "either": {
                    "anyOf": [
                        {"type": "object", "properties": {"x": {"type": "string"}}},
                        {"type": "object", "properties": {"x": {"type": "integer"}}},
                    ]
                },
                "list": {"type": "array", "description": "Anything.", "minItems": 1},
                "free": {"type": "object", "title": "Free", "default": {}},
            },
        },
    ),
]
_M3_NAMES = sorted(set(re.findall(r'"(\w+)"', json.dumps([tool.parameters for tool in TOOLS]))))
ENDS = {
    "minimax-m3": [f"{MARK}</{name}>" for name in (*_M3_NAMES, "item")],
    "kimi-k3": ["<|close|>argument<|sep|>"],
    "gemma": ['<|"|>'],
    "hunyuan": ["</arg_value:opensource>"],
    "glm": ["</arg_value>"],
    "minicpm": ["</param>", "]]></param>"],
    "muse": ["</atem:parameter>"],
    "deepseek-dsml": ["</\uff5cDSML\uff5cparameter>"],
    "deepseek-dsml-v3.2": ["</\uff5cDSML\uff5cparameter>"],
}
COMMON_ENDS = ["</parameter>", "\n</parameter>\n", "</tool_call>"]
SCHEMAS = {tool.name: dict(tool.parameters) for tool in TOOLS}
DATES = FormatChecker(formats=())
DATES.checks("date")(lambda text: bool(re.fullmatch(r"[0-9]{4}-[01][0-9]-[0-3][0-9]", text)))
every_format = pytest.mark.parametrize("name", BY_NAME)
with_or_without_tokens = pytest.mark.parametrize("has_tokens", [True, False])


def block_of(
    known: ToolFormat, *, one: bool, has_tokens: bool = False, tools: Sequence[ToolSpec] = TOOLS
) -> tuple[CallBlock, str]:
    assert known.block
    grammar = Grammar(known.tags, vocabulary(known.name, has_tokens).ids.get)
    block = known.block(grammar, tools, one)
    return block, grammar.text(block.body)


@cache
def vocabulary(name: str, has_tokens: bool) -> Vocabulary:
    return Vocabulary(BY_NAME[name].tags if has_tokens else ())


def calls_in(known: ToolFormat, text: str, tools: Sequence[ToolSpec] = TOOLS) -> list[ParsedCall]:
    read = []
    for pieces in ([text], list(text)):
        parser = known.parser({tool.name: tool.parameters for tool in tools})
        events = [event for piece in pieces for event in parser.feed(piece)]
        read.append(collect([*events, *parser.finish()]))
    assert read[0] == read[1]
    assert not read[0].content
    return read[0].tool_calls


def walks(name: str, n_walks: int, *, one: bool, has_tokens: bool = False) -> Iterator[str]:
    """Yield random texts that the grammar of TOOLS admits."""
    words = vocabulary(name, has_tokens)
    _, grammar = block_of(BY_NAME[name], one=one, has_tokens=has_tokens)
    start = words.matcher(grammar)
    for seed in range(n_walks):
        chance = random.Random(f"{name} {seed}")
        n_free = chance.choice([0, 40, 150])
        yield words.walk(start, chance, n_free=n_free, ends=ENDS.get(name, COMMON_ENDS))


def assert_right(call: ParsedCall) -> None:
    assert call.complete
    assert call.name in SCHEMAS
    Draft202012Validator(SCHEMAS[call.name], format_checker=DATES).validate(
        json.loads(call.arguments)
    )


def test_nearly_every_format_can_hold_a_model_to_its_calls() -> None:
    assert [known.name for known in FORMATS if not known.block] == ["command-r"]


# ---------------------------------------------------------------- what is admitted is read


@every_format
@with_or_without_tokens
@pytest.mark.parametrize("one", [True, False])
def test_whatever_a_grammar_admits_is_read_as_right_calls(
    name: str, has_tokens: bool, one: bool
) -> None:
    known = BY_NAME[name]
    block, _ = block_of(known, one=one, has_tokens=has_tokens)
    for text in walks(name, 6, one=one, has_tokens=has_tokens):
        calls = calls_in(known, block.before + block.trigger + text)
        assert len(calls) == 1 or (calls and not one), text
        for call in calls:
            assert_right(call)


@every_format
def test_blocks_with_what_is_written_between_them_are_read_as_calls(name: str) -> None:
    known = BY_NAME[name]
    block, _ = block_of(known, one=True)
    texts = [block.trigger + text for text in walks(name, 3, one=True)]
    calls = calls_in(known, block.before + block.between.join(texts))
    assert len(calls) == 3
    for call in calls:
        assert_right(call)


# ---------------------------------------------------------------- what is refused

COUNT = ToolSpec(
    "count_it",
    {"type": "object", "properties": {"n": {"enum": [31337]}}, "required": ["n"]},
)
LISTS = {
    "mistral-list", "deepseek", "deepseek-r1", "deepseek-dsml", "deepseek-dsml-v3.2", "minimax",
    "kimi", "lfm2", "granite", "phi", "nemotron", "firefunction", "command-r7b", "tool-calls",
    "tool-call-lines", "hunyuan", "apertus", "solar", "kimi-k3", "minimax-m3",
}  # fmt: skip


@every_format
@with_or_without_tokens
def test_wrong_names_and_wrong_values_are_refused(name: str, has_tokens: bool) -> None:
    words = vocabulary(name, has_tokens)
    _, grammar = block_of(BY_NAME[name], one=True, has_tokens=has_tokens, tools=[COUNT])
    text = words.walk(words.matcher(grammar), random.Random(name), n_free=0)
    assert words.admits(grammar, text)
    assert "count_it" in text
    for other in ("count_", "count_it2", "Count_it", ""):
        assert not words.admits(grammar, text.replace("count_it", other))
    for other in ("31338", "31337.5", "true", "null", '"31337"', "[31337]", "x", "", "31337,"):
        assert not words.admits(grammar, text.replace("31337", other)), other


@every_format
def test_two_calls_in_a_block_are_refused_where_one_is_asked_for(name: str) -> None:
    texts = walks(name, 20 if name in LISTS else 3, one=False)
    found = next((text for text in texts if _n_calls(name, text) > 1), None)
    assert (found is not None) == (name in LISTS)
    _, grammar = block_of(BY_NAME[name], one=True)
    assert found is None or not vocabulary(name, False).admits(grammar, found)


def _n_calls(name: str, text: str) -> int:
    block, _ = block_of(BY_NAME[name], one=False)
    return len(calls_in(BY_NAME[name], block.before + block.trigger + text))


# ---------------------------------------------------------------- what templates write is admitted

ARGUMENTS = {
    "city": 'Köln "x" </arg_val </para ]] / <|tool\n<b>',
    "n": -3,
    "ratio": 2.5,
    "ok": True,
    "no": None,
    "unit": "°C",
    "deep": {"a": [1, None, True], "b": "</c>"},
    "zip": "50667",
}
PARAMETERS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "n": {"type": "integer"},
        "more": {"type": "string"},
        "ratio": {"type": "number"},
        "ok": {"type": "boolean"},
        "no": {"type": ["array", "null"]},
        "unit": {"enum": ["°C", "°F"]},
        "deep": {"type": "object"},
        "zip": {"type": "string"},
    },
    "required": ["city", "ok"],
}
WEATHER = {"name": "get_weather", "description": "Weather.", "parameters": PARAMETERS}
PING = {"name": "ping", "description": "Pings.", "parameters": {"type": "object", "properties": {}}}
OFFERED = [ToolSpec("get_weather", PARAMETERS), ToolSpec("ping", {})]
# What models are not held to: lists and objects as Python shows them, elements of any name.
# MiniMax M3's template leaves null out.
NOT_ADMITTED = {"seed": {"deep"}, "minicpm": {"deep"}, "minimax-m3": {"deep", "no"}}
ONE_IS_SHOWN = {"gigachat", "gigachat3", "harmony"}  # of several calls
NO_END = "deepseek-ai-DeepSeek-R1-Distill-Llama-8B"  # the template forgets to close the calls


@cache
def in_history(
    path: Path, known: ToolFormat, n_calls: int
) -> tuple[list[tuple[str, dict[str, Any]]], str]:
    """Return calls and what the template writes for them, or why it writes none."""
    skipped = NOT_ADMITTED.get(known.name, set())
    shown = {key: value for key, value in ARGUMENTS.items() if key not in skipped}
    calls = [("get_weather", shown), ("ping", {})][:n_calls]
    try:
        text = written_by(path.read_text(), known, [WEATHER, PING], calls)
    except TemplateRefused as error:
        return calls, str(error)
    # Two templates escape what is not ASCII; a model writes it as it is.
    return calls, text.replace("\\u00f6", "ö").replace("\\u00b0", "°")


@pytest.mark.parametrize("n_calls", [1, 2])
@with_or_without_tokens
@pytest.mark.parametrize(
    "path", [path for path in PATHS if EXPECTED[path.stem] in BY_NAME], ids=lambda path: path.stem
)
def test_calls_in_the_history_are_admitted(path: Path, has_tokens: bool, n_calls: int) -> None:
    known = detect(path.read_text())
    assert known
    calls, rest = in_history(path, known, n_calls)
    if "get_weather" not in rest:
        pytest.skip(rest or "the template does not show calls")
    block, grammar = block_of(known, one=False, has_tokens=has_tokens, tools=OFFERED)
    words = vocabulary(known.name, has_tokens)
    read: list[ParsedCall] = []
    while block.trigger in rest:
        between, rest = rest.split(block.trigger, maxsplit=1)
        assert '"' not in between
        tokens = words.tokens_of(rest)
        n_admitted = words.matcher(grammar).try_consume_tokens(tokens)
        admitted = words.text_of(tokens[:n_admitted])
        if path.stem == NO_END:
            return
        assert words.admits(grammar, admitted), admitted + "…" + rest[len(admitted) :]
        read += calls_in(known, block.before + block.trigger + admitted, OFFERED)
        rest = rest[len(admitted) :]
    expected = calls[:1] if known.name in ONE_IS_SHOWN else calls
    assert [(call.name, json.loads(call.arguments)) for call in read] == expected


BRANCHING: dict[str, Any] = {
    "properties": {"a": {"$ref": "#/$defs/any"}},
    "$defs": {"any": {"anyOf": [{"$ref": "#/$defs/any"}] * 12}},
}


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_unions_that_multiply_take_any_value(name: str) -> None:
    known = BY_NAME[name]
    grammar = Grammar(known.tags)
    block = known.block
    assert block is not None
    assert len(grammar.text(block(grammar, [ToolSpec("t", BRANCHING)], True).body)) < 100_000
    assert Parameter("a", {**BRANCHING["properties"]["a"], **BRANCHING}, False).options == [{}]


def test_definitions_that_are_long_in_many_places_are_refused() -> None:
    grammar = Grammar()
    long = {"type": "object", "properties": {f"p{at}": {"type": "string"} for at in range(3000)}}
    many = {"anyOf": [long] * 40}
    with pytest.raises(ValueError, match="too long"):
        grammar.schema(many)
