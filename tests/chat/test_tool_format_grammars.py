"""What grammars hold models to is what templates write and parsers read, for every format."""

from __future__ import annotations

import json
import random
import re
from functools import cache

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from app.chat.grammar import Grammar
from app.chat.stream_parser import ParsedCall, collect
from app.chat.tool_formats import FORMATS, ToolFormat
from app.chat.tool_formats.base import CallBlock, Tool
from tests.chat.grammar_walks import Vocabulary

BY_NAME = {known.name: known for known in FORMATS if known.block}

TOOLS = [
    Tool("ping", {}),
    Tool("get", {"type": "object", "properties": {"text": {"type": "string"}}}),
    Tool(
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
    Tool(
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
    Tool(
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
]
SCHEMAS = {tool.name: dict(tool.parameters) for tool in TOOLS}
DATES = FormatChecker(formats=())
DATES.checks("date")(lambda text: bool(re.fullmatch(r"[0-9]{4}-[01][0-9]-[0-3][0-9]", text)))
every_format = pytest.mark.parametrize("name", BY_NAME)
with_or_without_tokens = pytest.mark.parametrize("has_tokens", [True, False])


def block_of(known: ToolFormat, *, one: bool, has_tokens: bool) -> tuple[CallBlock, str]:
    assert known.block
    grammar = Grammar(known.tags, vocabulary(known.name, has_tokens).ids.get)
    block = known.block(grammar, TOOLS, one)
    return block, grammar.text(block.body)


@cache
def vocabulary(name: str, has_tokens: bool) -> Vocabulary:
    return Vocabulary(BY_NAME[name].tags if has_tokens else ())


def calls_in(known: ToolFormat, text: str) -> list[ParsedCall]:
    read = []
    for pieces in ([text], list(text)):
        parser = known.parser(SCHEMAS)
        events = [event for piece in pieces for event in parser.feed(piece)]
        read.append(collect([*events, *parser.finish()]))
    assert read[0] == read[1]
    assert not read[0].content
    return read[0].tool_calls


def assert_right(call: ParsedCall) -> None:
    assert call.complete
    assert call.name in SCHEMAS
    Draft202012Validator(SCHEMAS[call.name], format_checker=DATES).validate(
        json.loads(call.arguments)
    )


@every_format
@with_or_without_tokens
@pytest.mark.parametrize("one", [True, False])
def test_whatever_a_grammar_admits_is_read_as_right_calls(
    name: str, has_tokens: bool, one: bool
) -> None:
    known, words = BY_NAME[name], vocabulary(name, has_tokens)
    block, grammar = block_of(known, one=one, has_tokens=has_tokens)
    start = words.matcher(grammar)
    for seed in range(6):
        chance = random.Random(f"{name} {seed}")
        text = words.walk(start, chance, n_free=chance.choice([0, 40, 150]))
        calls = calls_in(known, block.trigger + text)
        assert len(calls) == 1 or (calls and not one), text
        for call in calls:
            assert_right(call)
