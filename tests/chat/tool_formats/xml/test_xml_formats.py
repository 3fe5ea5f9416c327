"""How calls written as XML functions are read, and how values between tags become JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.chat.parsing.stream_parser import (
    CallArguments,
    CallEnd,
    CallStart,
    ParsedAnswer,
    ParsedCall,
    StreamParser,
    collect,
)
from app.chat.tool_formats import OfferedTools
from app.chat.tool_formats.xml.xml_functions import XmlFunctionsParser

DONE = ParsedCall("f", '{"a": 1}', complete=True)


def read(parser: StreamParser, text: str) -> ParsedAnswer:
    return collect([*parser.feed(text), *parser.finish()])


SCHEMAS: dict[str, Any] = {
    "f": {
        "properties": {
            "text": {"type": "string"},
            "count": {"type": "integer"},
            "flag": {"type": "boolean"},
            "maybe": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "list": {"type": ["array", "null"]},
            "choice": {"enum": ["1", "2"]},
            "broken": 7,
        }
    }
}


def xml(key: str, value: str) -> str:
    parameter = f"<parameter={key}>\n{value}\n</parameter>"
    return f"<tool_call>\n<function=f>\n{parameter}\n</function>\n</tool_call>"


def value_of(offered: OfferedTools, key: str, value: str) -> Any:
    whole = read(XmlFunctionsParser(offered), xml(key, value))
    pieces = XmlFunctionsParser(offered)
    events = [event for char in xml(key, value) for event in pieces.feed(char)]
    assert collect([*events, *pieces.finish()]) == whole
    assert whole.tool_calls[0].complete
    return json.loads(whole.tool_calls[0].arguments)[key]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("5", 5),
        ("-1.5e3", -1500.0),
        ("true", True),
        ("null", None),
        ('{"a": [1]}', {"a": [1]}),
        ("[1,\n 2]", [1, 2]),
        ("", ""),
        ("Paris", "Paris"),
        ('"quoted"', '"quoted"'),
        ("5 apples", "5 apples"),
        ("truely", "truely"),
        ("True", "True"),
        ("NaN", "NaN"),
        ("007", "007"),
        ("{not json}", "{not json}"),
        ("[" * 5000, "[" * 5000),
        ("9" * 5000, "9" * 5000),
        ("\n  indented\n\n", "\n  indented\n\n"),
        ("a\rb", "a\rb"),
        ("</param> <parameter", "</param> <parameter"),
        ('\\ " \t ü', '\\ " \t ü'),
    ],
)
def test_xml_values_without_a_schema(value: str, expected: object) -> None:
    assert value_of(None, "key", value) == expected
    assert value_of({"f"}, "key", value) == expected
    assert value_of(SCHEMAS, "broken", value) == expected


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("text", "5", "5"),
        ("text", "null", "null"),
        ("count", "5", 5),
        ("count", "five", "five"),
        ("flag", "True", True),
        ("flag", "false", False),
        ("maybe", "5", "5"),
        ("maybe", "null", None),
        ("maybe", '"x"', '"x"'),
        ("list", "[1]", [1]),
        ("list", "['it', None, {'a': True}]", ["it", None, {"a": True}]),
        ("list", "[1) or [2]", "[1) or [2]"),
        ("list", "None", None),
        ("choice", "1", "1"),
    ],
)
def test_xml_values_by_the_schema(key: str, value: str, expected: object) -> None:
    assert value_of(SCHEMAS, key, value) == expected


def test_xml_text_streams() -> None:
    parser = XmlFunctionsParser(SCHEMAS)
    assert parser.feed("<tool_call>\n<function=f>\n") == []
    assert parser.feed("<parameter=text>") == [CallStart(0, "f"), CallArguments(0, '{"text": ')]
    assert parser.feed("\nHel") == [CallArguments(0, '"Hel')]
    assert parser.feed("lo\n</para") == [CallArguments(0, "lo")]
    assert parser.feed("meter>\n") == [CallArguments(0, '"')]
    assert parser.feed("</function>") == [CallArguments(0, "}"), CallEnd(0)]


@pytest.mark.parametrize(
    "text",
    [
        "<function=f><parameter=a>1</parameter></function>",
        "<function=f><parameter=a>1</parameter></function></tool_call>",
        "<tool_call><function=f><parameter=a>1</parameter></function>",
        "<tool_call>\r\n<function=f>\r\n<parameter=a>\r\n1\r\n</parameter></function>",
    ],
)
def test_xml_missing_tags_are_forgiven(text: str) -> None:
    assert read(XmlFunctionsParser(), text) == ParsedAnswer(tool_calls=[DONE])


def test_xml_a_function_without_parameters_has_no_arguments() -> None:
    result = read(XmlFunctionsParser(), "<tool_call>\n<function=f>\n</function>\n</tool_call>")
    assert result == ParsedAnswer(tool_calls=[ParsedCall("f", "{}", complete=True)])


def test_xml_the_answer_goes_on_after_a_broken_call() -> None:
    broken = "<tool_call><function=f><parameter=a>1</parameter>oops</tool_call>\nSorry."
    assert read(XmlFunctionsParser(), broken) == ParsedAnswer(
        "Sorry.", tool_calls=[ParsedCall("f", '{"a": 1')]
    )


# ---------------------------------------------------------------- what schemas say in other words


PERSON = {"type": "object", "properties": {"name": {"type": "string"}}}
REFERRED: dict[str, Any] = {
    "f": {
        "$defs": {"zip": {"type": "string"}, "loop": {"$ref": "#/$defs/loop"}, "person": PERSON},
        "properties": {
            "zip": {"$ref": "#/$defs/zip", "description": "Code."},
            "wrapped": {"allOf": [{"$ref": "#/$defs/zip"}]},
            "maybe": {"anyOf": [{"$ref": "#/$defs/zip"}, {"type": "null"}]},
            "const": {"const": "5"},
            "loop": {"$ref": "#/$defs/loop"},
            "nowhere": {"$ref": "#/$defs/none"},
            "elsewhere": {"$ref": "https://example.org/x"},
            "person": {"$ref": "#/$defs/person"},
            "both": {"anyOf": [{"type": "string"}, PERSON]},
            "parts": {"allOf": [{"maxLength": 9}, {"type": "string"}]},
        },
    }
}


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("zip", "5", "5"),
        ("wrapped", "5", "5"),
        ("maybe", "5", "5"),
        ("maybe", "null", None),
        ("const", "5", "5"),
        ("parts", "5", "5"),
        ("loop", "5", 5),
        ("nowhere", "5", 5),
        ("elsewhere", "x", "x"),
        ("person", '{"name": "</parameter>"}', {"name": "</parameter>"}),
        ("person", '{"name": "\\"</parameter>"}', {"name": '"</parameter>'}),
        ("person", "{'name': 'x'}", {"name": "x"}),
        ("both", '{"name": "a </parameter>"}', {"name": "a </parameter>"}),
        ("both", '"a" {b', '"a" {b'),
    ],
)
def test_xml_values_by_what_a_schema_refers_to(key: str, value: str, expected: object) -> None:
    assert value_of(REFERRED, key, value) == expected
