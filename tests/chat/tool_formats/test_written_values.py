"""Grammars admit values as the family's models write them, whatever little the schema says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.chat.grammar.lark import Grammar
from app.chat.parsing.stream_parser import collect
from app.chat.tool_formats import ToolFormat
from app.chat.tool_formats.base import ToolSpec
from app.chat.tool_formats.channels import muse
from app.chat.tool_formats.gemma import FORMAT as GEMMA
from app.chat.tool_formats.xml.minimax_m3 import FORMAT as MINIMAX
from app.chat.tool_formats.xml.minimax_m3 import MARK
from tests.chat.grammar.grammar_walks import Vocabulary

LIST_OR_FILTER = {
    "anyOf": [
        {"type": "array", "items": {"type": "string"}},
        {
            "type": "object",
            "properties": {"field": {"type": "string"}, "n": {"type": "integer"}},
            "required": ["field"],
        },
    ]
}
TEXT_OR_LABEL = {
    "oneOf": [
        {"type": "string"},
        {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "integer"}}},
    ]
}


def marked(text: str) -> str:
    return text.replace("<", f"{MARK}<")


def gemma(value: str) -> str:
    return f"<|tool_call>call:f{{v:{value}}}<tool_call|>"


def minimax(value: str) -> str:
    invoke = marked(f'<invoke name="f"><v>{value}</v></invoke>')
    return marked("<tool_call>") + "\n" + invoke + "\n" + marked("</tool_call>")


def admitted(known: ToolFormat, schema: dict[str, Any], text: str) -> bool:
    assert known.block
    parameters = {"type": "object", "properties": {"v": schema}, "required": ["v"]}
    words = Vocabulary(known.tags)
    grammar = Grammar(known.tags, words.ids.get)
    block = known.block(grammar, [ToolSpec("f", parameters)], True)
    body = grammar.text(block.body)
    is_admitted = words.admits(body, text.removeprefix(block.trigger))
    assert is_admitted == Vocabulary().admits(
        _without_tokens(known, parameters), text.removeprefix(block.trigger)
    )
    return is_admitted


def _without_tokens(known: ToolFormat, parameters: dict[str, Any]) -> str:
    assert known.block
    grammar = Grammar(known.tags)
    return grammar.text(known.block(grammar, [ToolSpec("f", parameters)], True).body)


def value_in(known: ToolFormat, schema: dict[str, Any], text: str) -> object:
    parser = known.parser({"f": {"type": "object", "properties": {"v": schema}}})
    (call,) = collect([*parser.feed(text), *parser.finish()]).tool_calls
    assert call.complete
    return json.loads(call.arguments)["v"]


@pytest.mark.parametrize(
    ("schema", "written", "value"),
    [
        ({"type": "array"}, '[<|"|>a<|"|>,<|"|>b "c"<|"|>]', ["a", 'b "c"']),
        ({"type": "array", "title": "T", "minItems": 1}, '[<|"|>a<|"|>]', ["a"]),
        ({"type": "array", "items": True}, '[1,{a:<|"|>b<|"|>}]', [1, {"a": "b"}]),
        ({"type": "array", "items": {}}, '[[<|"|>a<|"|>]]', [["a"]]),
        ({"type": "object", "title": "T"}, '{a:<|"|>b<|"|>}', {"a": "b"}),
        ({"type": ["array", "null"]}, '[<|"|>a<|"|>]', ["a"]),
        (LIST_OR_FILTER, '{field:<|"|>a<|"|>,n:1}', {"field": "a", "n": 1}),
    ],
)
def test_gemma_writes_lists_and_objects_its_way(
    schema: dict[str, Any], written: str, value: object
) -> None:
    text = gemma(written)
    assert admitted(GEMMA, schema, text)
    assert value_in(GEMMA, schema, text) == value


def test_gemma_writes_no_fewer_items_than_the_schema_wants() -> None:
    assert not admitted(GEMMA, {"type": "array", "minItems": 1}, gemma("[]"))


@pytest.mark.parametrize(
    ("schema", "written", "value"),
    [
        (LIST_OR_FILTER, "<item>a</item><item>b</item>", ["a", "b"]),
        (LIST_OR_FILTER, "<field>a</field><n>1</n>", {"field": "a", "n": 1}),
        (LIST_OR_FILTER, '["a"]', ["a"]),
        (TEXT_OR_LABEL, "<a>x</a>", {"a": "x"}),
        (TEXT_OR_LABEL, "<b>2</b>", {"b": 2}),
        (TEXT_OR_LABEL, "<a>x</a><b>2</b>", {"a": "x", "b": 2}),
        (TEXT_OR_LABEL, "x", "x"),
        ({"type": ["integer", "array"], "items": {"type": "integer"}}, "<item>1</item>", [1]),
        ({"type": "array"}, "<item>a</item>", ["a"]),
    ],
)
def test_minimax_writes_members_of_unions_as_elements(
    schema: dict[str, Any], written: str, value: object
) -> None:
    text = minimax(written)
    assert admitted(MINIMAX, schema, text)
    assert value_in(MINIMAX, schema, text) == value


@pytest.mark.parametrize(
    ("schema", "written"),
    [
        (LIST_OR_FILTER, "<n>1</n>"),
        (LIST_OR_FILTER, ""),
        ({"anyOf": [LIST_OR_FILTER, {"type": "object"}]}, "<n>1</n>"),
    ],
)
def test_minimax_writes_no_elements_that_fit_no_member(
    schema: dict[str, Any], written: str
) -> None:
    assert not admitted(MINIMAX, schema, minimax(written))


def test_calls_that_a_text_or_thought_of_muse_quotes_are_none() -> None:
    assert muse.FORMAT.block
    block = muse.FORMAT.block(Grammar(), [ToolSpec("f", {})], True)
    call = '<atem:function_calls>\n<atem:invoke name="f">\n</atem:invoke>\n</atem:function_calls>'
    for quoted in (
        f" to=self<|message|>I could {call}<|eom|>",
        f" to=user<|message|>Write:\n{call}",
    ):
        assert block.trigger not in quoted
    assert block.trigger in f" to=f<|message|>{call}<|eot|>"
