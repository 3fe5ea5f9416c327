"""What is special about single tool formats.

Covers `app.chat.tool_formats.xml.glm` and `app.chat.tool_formats.xml.invoke`.
"""

from __future__ import annotations

import json

import pytest

from app.chat.parsing.stream_parser import (
    CallArguments,
    CallEnd,
    CallStart,
    ParsedAnswer,
    ParsedCall,
    StreamParser,
    TextPiece,
    collect,
)
from app.chat.tool_formats.deepseek import DeepSeekParser
from app.chat.tool_formats.functionary import FunctionaryParser, RecipientParser
from app.chat.tool_formats.kimi import KimiParser
from app.chat.tool_formats.lfm2 import OPEN, Lfm2Parser
from app.chat.tool_formats.llama import LlamaParser
from app.chat.tool_formats.mistral import MistralParser
from app.chat.tool_formats.xml.glm import GlmParser
from app.chat.tool_formats.xml.invoke import DsmlParser, InvokeParser, MiniCpmParser
from app.chat.tool_formats.xml.xml_functions import SEED

SCHEMAS = {"f": {"properties": {"text": {"type": "string"}}}}
DONE = ParsedCall("f", '{"a": 1}', complete=True)


def read(parser: StreamParser, text: str) -> ParsedAnswer:
    return collect([*parser.feed(text), *parser.finish()])


# ---------------------------------------------------------------- Llama


def test_llama_an_answer_that_is_a_call_streams() -> None:
    parser = LlamaParser({"f"})
    assert parser.feed(' {"name": "f"') == []
    assert parser.feed(', "parameters": {"a": ') == [CallStart(0, "f"), CallArguments(0, '{"a": ')]
    assert parser.feed("1}") == [CallArguments(0, "1}")]
    assert parser.feed("}") == [CallEnd(0)]
    assert parser.finish() == []


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "Ada", "age": 36}',
        '{"name": "other", "parameters": {}}',
        '{"name": "f"}',
        '{"name": "f", "description": "no call"}',
        '{"parameters": {"a": 1}, "name": "other"}',
        'So: {"name": "f", "parameters": {"a": 1}}',
        '[{"a": 1}]',
        "{",
        '<|python_tag|>print("x")',
    ],
)
def test_llama_other_json_is_content(text: str) -> None:
    assert read(LlamaParser({"f"}), text) == ParsedAnswer(text)


def test_llama_json_that_cannot_become_a_call_streams() -> None:
    parser = LlamaParser({"f"})
    assert parser.feed('{"title": "A long') == [TextPiece('{"title": "A long')]


@pytest.mark.parametrize("between", [";", "; ", "\n", "<|python_tag|>"])
def test_llama_calls_follow_each_other(between: str) -> None:
    call = '{"type": "function", "name": "f", "parameters": {"a": 1}}'
    assert read(LlamaParser({"f"}), call + between + call).tool_calls == [DONE, DONE]


# ---------------------------------------------------------------- Mistral


def test_mistral_reads_a_list_of_calls() -> None:
    text = '[TOOL_CALLS] [{"name": "f", "arguments": {"a": 1}, "id": "abcdefghi"}]'
    assert read(MistralParser(), text) == ParsedAnswer(tool_calls=[DONE])


def test_mistral_the_name_appears_with_its_arguments() -> None:
    parser = MistralParser()
    assert parser.feed("[TOOL_CALLS]f[AR") == []
    assert parser.feed("GS]") == []
    assert parser.feed('{"a": ') == [CallStart(0, "f"), CallArguments(0, '{"a": ')]


# ---------------------------------------------------------------- others


def test_kimi_names_may_have_dots_and_no_number() -> None:
    body = "<|tool_call_begin|>%s<|tool_call_argument_begin|>{}<|tool_call_end|>"
    text = "<|tool_calls_section_begin|>" + body % "functions.a.b:12" + body % "c"
    names = [call.name for call in read(KimiParser(), text).tool_calls]
    assert names == ["a.b", "c"]


def test_deepseek_reads_a_tool_called_function() -> None:
    text = "<|tool▁call▁begin|>function<|tool▁sep|>{}<|tool▁call▁end|>".replace("|", "\uff5c")
    assert read(DeepSeekParser(), text).tool_calls == [ParsedCall("function", "{}", complete=True)]


def test_glm_a_word_is_a_call_only_where_such_a_tool_is_offered() -> None:
    text = "<tool_call>f</tool_call>"
    assert read(GlmParser({"f"}), text).tool_calls == [ParsedCall("f", "{}", complete=True)]
    assert read(GlmParser({"g"}), text) == ParsedAnswer(text)


def test_glm_line_breaks_belong_to_the_value() -> None:
    text = "<tool_call>f<arg_key>a</arg_key><arg_value>\nx\n</arg_value></tool_call>"
    assert json.loads(read(GlmParser(), text).tool_calls[0].arguments) == {"a": "\nx\n"}


def test_minimax_goes_by_the_schema() -> None:
    text = '<invoke name="f"><parameter name="text">5</parameter></invoke>'
    assert read(InvokeParser(SCHEMAS), text).tool_calls[0].arguments == '{"text": "5"}'
    assert read(InvokeParser(), text).tool_calls[0].arguments == '{"text": 5}'


def test_dsml_parameters_say_whether_they_are_text() -> None:
    text = (
        '<|invoke name="f"><|parameter name="a" string="true">5</|parameter>'
        '<|parameter name="b" string="false">[1]</|parameter></|invoke>'
    ).replace("|", "\uff5cDSML\uff5c")
    assert read(DsmlParser(), text).tool_calls[0].arguments == '{"a": "5", "b": [1]}'


def test_functionary_python_is_a_call_where_it_has_json() -> None:
    result = read(FunctionaryParser(), '<|python_tag|>{"code": "1"}')
    assert result.tool_calls == [ParsedCall("python", '{"code": "1"}', complete=True)]


def test_functionary_the_first_recipient_stands_in_the_prompt() -> None:
    assert read(RecipientParser({"f"}), 'f\n{"a": 1}').tool_calls == [DONE]
    result = read(RecipientParser({"f"}), 'all\nLook:\n>>>f\n{"a": 1}')
    assert result == ParsedAnswer("Look:", tool_calls=[DONE])
    assert read(RecipientParser({"f"}), "Look:\n>>> f\n") == ParsedAnswer("Look:\n>>> f\n")


def test_functionary_words_on_a_line_are_no_recipient_where_nothing_is_offered() -> None:
    for text in ('json\n{"a": 1}', 'See:\n>>>f\n{"a": 1}'):
        assert read(RecipientParser({}), text) == ParsedAnswer(text)
    assert read(RecipientParser({}), "all\nHi") == ParsedAnswer("Hi")
    assert read(RecipientParser(None), 'f\n{"a": 1}').tool_calls == [DONE]


def test_minicpm_text_in_cdata_may_hold_tags() -> None:
    text = '<function name="f"><param name="a"><![CDATA[</param>\n5]]></param></function>'
    assert json.loads(read(MiniCpmParser(), text).tool_calls[0].arguments) == {"a": "</param>\n5"}


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("1", 1),
        ("-1.5e3", -1500.0),
        ("True", True),
        ("None", None),
        ("[1, 'a', {'b': False}]", [1, "a", {"b": False}]),
        ('{"b": null, "c": "\\u00fc\\/"}', {"b": None, "c": "ü/"}),
        ("'it\\'s (a), \"b\"]'", 'it\'s (a), "b"]'),
        ('"two\\nlines\\\\"', "two\nlines\\"),
        ("'\\x41\\u0042\\d'", "AB\\d"),
        ("'\\xzz'", "\\xzz"),
        ("''", ""),
    ],
)
def test_lfm2_values_are_python(written: str, expected: object) -> None:
    text = f"<|tool_call_start|>[f(a={written}, b = 2)]<|tool_call_end|>"
    for pieces in ([text], list(text)):
        parser = Lfm2Parser()
        events = [event for piece in pieces for event in parser.feed(piece)]
        call = collect([*events, *parser.finish()]).tool_calls[0]
        assert call.complete
        assert json.loads(call.arguments) == {"a": expected, "b": 2}


@pytest.mark.parametrize("value", ["(1, 2)", "1 + 1", "x", "[1", "os.system('x')", "", "]", "[1,]"])
def test_lfm2_what_is_no_literal_is_no_whole_call(value: str) -> None:
    result = read(Lfm2Parser(), f"<|tool_call_start|>[f(a={value})]<|tool_call_end|>")
    assert result.content == ""
    assert [call.complete for call in result.tool_calls] == [False]


def test_lfm2_calls_without_keywords() -> None:
    text = "<|tool_call_start|>[f()]<|tool_call_end|>"
    assert read(Lfm2Parser(), text).tool_calls == [ParsedCall("f", "{}", complete=True)]
    text = "<|tool_call_start|>[f(1)]<|tool_call_end|>"
    assert read(Lfm2Parser(), text) == ParsedAnswer(text)


@pytest.mark.parametrize(
    ("written", "arguments"),
    [
        ("[f(", ""),
        ("[f(a", ""),
        ("[f(a=", '{"a": '),
        ("[f(a=[1, 'b", '{"a": [1, "b'),
        ("[f(a=1, b", '{"a": 1'),
    ],
)
def test_lfm2_a_call_that_is_cut_off_has_its_arguments_so_far(written: str, arguments: str) -> None:
    for pieces in ([OPEN + written], list(OPEN + written)):
        parser = Lfm2Parser({"f"})
        events = [event for piece in pieces for event in parser.feed(piece)]
        answer = collect([*events, *parser.finish()])
        assert answer == ParsedAnswer(tool_calls=[ParsedCall("f", arguments)])


# ---------------------------------------------------------------- Seed


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("a\n", "a\n"),
        ("\na", "\na"),
        ("a\r\n", "a\r\n"),
        ("\n", "\n"),
        ("", ""),
        ("\n\na\n\n", "\na\n"),
        ("\na\n", "a"),  # as Qwen3-Coder writes it
        ("\r\n5\r\n", "5"),
    ],
)
def test_seed_line_breaks_belong_to_the_value_but_where_it_has_lines_of_its_own(
    written: str, value: str
) -> None:
    text = f"<function=f>\n<parameter=text>{written}</parameter>\n</function>"
    for pieces in ([text], list(text)):
        parser = SEED.parser(SCHEMAS)
        events = [event for piece in pieces for event in parser.feed(piece)]
        (call,) = collect([*events, *parser.finish()]).tool_calls
        assert call.complete
        assert json.loads(call.arguments) == {"text": value}


def test_seed_a_value_on_lines_of_its_own_may_be_json_with_tags_in_it() -> None:
    text = '<function=f>\n<parameter=a>\n{"b": "</parameter>"}\n</parameter>\n</function>'
    schemas = {"f": {"properties": {"a": {"type": "object"}}}}
    (call,) = read(SEED.parser(schemas), text).tool_calls
    assert json.loads(call.arguments) == {"a": {"b": "</parameter>"}}
