"""How an answer with `<tool_call>` blocks is parsed, whole and in pieces."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.chat.parsing.stream_parser import (
    CallArguments,
    CallEnd,
    CallStart,
    ParsedAnswer,
    ParsedCall,
    StreamEvent,
    TextPiece,
    collect,
    joined,
)
from app.chat.tool_formats.hermes import HermesParser


def parse(*pieces: str) -> list[StreamEvent]:
    parser = HermesParser()
    events = [event for piece in pieces for event in parser.feed(piece)]
    return joined(events + parser.finish())


def answer(text: str) -> ParsedAnswer:
    return collect(parse(text))


def block(body: str) -> str:
    return f"<tool_call>\n{body}\n</tool_call>"


def call(name: str, arguments: str) -> str:
    return block(f'{{"name": "{name}", "arguments": {arguments}}}')


DONE = ParsedCall("f", '{"a": 1}', complete=True)


# ---------------------------------------------------------------- text


def test_text_streams_at_once_but_for_what_may_become_a_tag() -> None:
    parser = HermesParser()
    assert parser.feed("Hello") == [TextPiece("Hello")]
    assert parser.feed(" wor") == [TextPiece(" wor")]
    assert parser.feed("ld <tool") == [TextPiece("ld")]
    assert parser.feed("box> ") == [TextPiece(" <toolbox>")]
    assert parser.finish() == [TextPiece(" ")]


def test_text_around_calls_is_kept_and_the_space_before_them_swallowed() -> None:
    result = answer("Let me look. \n\n" + call("f", '{"a": 1}') + "\nThere.")
    assert result.content == "Let me look.There."
    assert result.tool_calls == [DONE]


def test_space_between_and_after_calls_is_swallowed() -> None:
    result = answer(call("f", '{"a": 1}') + "\n\n " + call("f", '{"a": 1}') + "\n \n")
    assert result == ParsedAnswer(tool_calls=[DONE, DONE])


# ---------------------------------------------------------------- calls


def test_name_and_arguments_appear_as_they_are_written() -> None:
    parser = HermesParser()
    assert parser.feed('<tool_call>\n{"name": "get_wea') == []
    assert parser.feed('ther"') == [CallStart(0, "get_weather")]
    assert parser.feed(', "arguments": ') == []
    assert parser.feed('{"city": "K') == [CallArguments(0, '{"city": "K')]
    assert parser.feed('öln"} ') == [CallArguments(0, 'öln"}')]
    assert parser.feed("}") == [CallEnd(0)]
    assert parser.feed("\n</tool_call>") == []
    assert parser.finish() == []


def test_arguments_before_the_name_wait_for_it() -> None:
    parser = HermesParser()
    assert parser.feed('<tool_call>{"arguments": {"a": 1}, "name": "') == []
    assert parser.feed('f"}') == [CallStart(0, "f"), CallArguments(0, '{"a": 1}'), CallEnd(0)]


def test_calls_are_numbered_in_order() -> None:
    events = parse(call("f", "{}") + "\n" + call("g", "{}"))
    assert [event for event in events if isinstance(event, CallStart)] == [
        CallStart(0, "f"),
        CallStart(1, "g"),
    ]


def test_parameters_are_arguments() -> None:
    assert answer(block('{"name": "f", "parameters": {"a": 1}}')).tool_calls == [DONE]


def test_strings_in_arguments_may_hold_anything() -> None:
    arguments = json.dumps({"a": 'x"}]</tool_call>\\ <tool_call>{', "b": {"c": ["}", "\u2028ü"]}})
    assert answer(call("f", arguments)).tool_calls == [ParsedCall("f", arguments, complete=True)]


@pytest.mark.parametrize("end", ["", ', "arguments": null', ', "arguments": ""'])
def test_missing_arguments_are_an_empty_object(end: str) -> None:
    result = answer(block('{"name": "f"' + end + "}"))
    assert result.tool_calls == [ParsedCall("f", "{}", complete=True)]


def test_arguments_inside_a_string_are_taken_out() -> None:
    inner = '{"a": "\\u00fc\\n\\"x\\""}'
    result = answer(call("f", json.dumps(inner)))
    assert result.tool_calls == [ParsedCall("f", inner, complete=True)]


def test_other_keys_are_passed_over() -> None:
    body = '{"id": [1, {"name": "no"}], "name": "f", "x": null, "arguments": {"a": 1}, "y": -1.5e3}'
    assert answer(block(body)).tool_calls == [DONE]


def test_a_name_that_was_not_offered_is_a_call_too() -> None:
    parser = HermesParser({"g"})
    assert CallStart(0, "f") in parser.feed(call("f", "{}"))


# ---------------------------------------------------------------- forgiven


@pytest.mark.parametrize(
    "text",
    [
        '<tool_call>{"name": "f", "arguments": {"a": 1}}',
        '<tool_call>{"name": "f", "arguments": {"a": 1}}\n</tool',
        '<tool_call>{"name": "f", "arguments": {"a": 1}',
        '<tool_call>{"name": "f", "arguments": {"a": 1}\n</tool_call>',
        '<tool_call>{"name": "f", "arguments": {"a": 1}}}}\n</tool_call>',
        '<tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call>\n',
    ],
)
def test_a_whole_call_counts_however_its_block_ends(text: str) -> None:
    assert answer(text) == ParsedAnswer(tool_calls=[DONE])


def test_a_missing_closing_tag_does_not_swallow_what_follows() -> None:
    whole = '<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n'
    assert answer(whole + whole).tool_calls == [DONE, DONE]
    assert answer(whole + "Done.") == ParsedAnswer(content="Done.", tool_calls=[DONE])


# ---------------------------------------------------------------- malformed


@pytest.mark.parametrize(
    "text",
    [
        "Well \n<tool_call>\nnot JSON\n</tool_call>\nand on",
        block("{}"),
        block('{"arguments": {"a": 1}}'),
        block('{"name": 7, "arguments": {}}'),
        block('{"name": "", "arguments": {}}'),
        block("[1, 2]"),
        block('{"name" "f"}'),
        block("<function=f>\n<parameter=a>\n1\n</parameter>\n</function>"),
        "<tool_ca",
    ],
)
def test_a_block_without_a_call_is_text_and_nothing_is_lost(text: str) -> None:
    assert answer(text) == ParsedAnswer(content=text)


@pytest.mark.parametrize(
    "text",
    [
        '<tool_call>\n{"name": "get',
        '<tool_call>{"arguments": {"a": 1}, "na',
        "<tool_call>",
    ],
)
def test_a_block_in_which_the_answer_ends_is_no_text(text: str) -> None:
    assert answer(text) == ParsedAnswer()


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ('<tool_call>{"name": "f"', ""),
        ('<tool_call>{"name": "f", "arguments": {"a": "b', '{"a": "b'),
        ('<tool_call>{"name": "f", "arguments": {"a": 1]}}</tool_call>', '{"a": 1'),
        ('<tool_call>{"name": "f", "arguments": {"a": 1</tool_call>', '{"a": 1'),
    ],
)
def test_a_call_that_breaks_off_has_no_end(text: str, arguments: str) -> None:
    assert answer(text) == ParsedAnswer(tool_calls=[ParsedCall("f", arguments)])


def test_the_answer_goes_on_after_a_broken_call() -> None:
    broken = '<tool_call>{"name": "f" oops}</tool_call>\n'
    result = answer(broken + "Sorry. " + call("f", '{"a": 1}'))
    assert result == ParsedAnswer(content="Sorry.", tool_calls=[ParsedCall("f"), DONE])


# ---------------------------------------------------------------- in any pieces

SHARDS = [
    "<tool_call>", "</tool_call>", "<tool", "_call>", "<", " ", "\n", "text", "ü", "{", "}", "[",
    "]", ",", ":", '"', "\\", '"name"', '"arguments"', '"parameters"', ': "f"', '{"a": "b\\""}',
    "null", "1.5", '"{}"', '\\ud800',
    '<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>',
    '<tool_call>{"arguments": "{\\"a\\": 1}", "name": "f"}',
    '{"name": "f", "arguments": ',
]  # fmt: skip
answers = st.lists(st.sampled_from(SHARDS), max_size=14).map("".join)


@given(answers)
def test_character_by_character_gives_the_same_events(text: str) -> None:
    assert parse(*text) == parse(text)


@given(answers, st.data())
def test_any_split_gives_the_same_events(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    edges = [0, *cuts, len(text)]
    pieces = [text[start:end] for start, end in itertools.pairwise(edges)]
    assert parse(*pieces) == parse(text)


@given(st.text())
def test_an_answer_without_blocks_is_its_own_text(text: str) -> None:
    assert collect(parse(*text)).content == text


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(st.text(), json_values, max_size=4),
    st.booleans(),
    st.text(st.characters(exclude_characters="<", exclude_categories=["Cs"]), min_size=1),
)
def test_every_object_arrives_as_it_was_written(
    arguments: dict[str, object], ascii_only: bool, before: str
) -> None:
    written = json.dumps(arguments, ensure_ascii=ascii_only)
    result = collect(parse(*(before + "\n" + call("f", written))))
    assert result.tool_calls == [ParsedCall("f", written, complete=True)]
    assert result.content == before.rstrip()


@given(answers)
def test_calls_begin_once_in_order_and_only_begun_calls_have_arguments_and_ends(text: str) -> None:
    begun, ended = 0, set()
    for event in parse(text):
        if isinstance(event, CallStart):
            assert event.index == begun
            begun += 1
        elif isinstance(event, CallArguments | CallEnd):
            assert event.index == begun - 1
            assert event.index not in ended
        if isinstance(event, CallEnd):
            ended.add(event.index)
