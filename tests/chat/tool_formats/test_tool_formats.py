"""What holds for every tool format: whole, in pieces, among rubbish, and for long answers.

Covers `app.chat.tool_formats.apertus`, `app.chat.tool_formats.deepseek`,
`app.chat.tool_formats.functionary`, `app.chat.tool_formats.json_lists`,
`app.chat.tool_formats.lfm2`, `app.chat.tool_formats.mistral`, and what formats are made of:
`app.chat.tool_formats.syntax.json_call`, `app.chat.tool_formats.syntax.scripted`,
`app.chat.tool_formats.syntax.sections` and `app.chat.tool_formats.syntax.tagged`.
"""

from __future__ import annotations

import itertools
import json
import time

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
    collect,
    joined,
)
from app.chat.tool_formats import FORMATS, OfferedTools, ToolFormat

BY_NAME = {known.name: known for known in FORMATS}
OFFERED = {"f", "g"}

# What each format's models write for f({"a": 1}), then g({"b": "x"}).
_OBJECTS = '{"name": "f", "arguments": {"a": 1}}, {"name": "g", "arguments": {"b": "x"}}'
_TOOL_NAMES = (
    '[\n    {"tool_call_id": "0", "tool_name": "f", "parameters": {"a": 1}},\n'
    '    {"tool_call_id": "1", "tool_name": "g", "parameters": {"b": "x"}}\n]'
)
_XML = (
    "<tool_call>\n<function=f>\n<parameter=a>\n1\n</parameter>\n</function>\n</tool_call>\n"
    "<tool_call>\n<function=g>\n<parameter=b>\nx\n</parameter>\n</function>\n</tool_call>"
)
_GLM = (
    "<tool_call>f\n<arg_key>a</arg_key>\n<arg_value>1</arg_value>\n</tool_call>\n"
    "<tool_call>g<arg_key>b</arg_key><arg_value>x</arg_value></tool_call>"
)
_MINIMAX = (
    '<minimax:tool_call>\n<invoke name="f">\n<parameter name="a">1</parameter>\n</invoke>\n'
    '<invoke name="g">\n<parameter name="b">x</parameter>\n</invoke>\n</minimax:tool_call>'
)
_DSML = (
    '<|DSML|function_calls>\n<|DSML|invoke name="f">\n'
    '<|DSML|parameter name="a" string="false">1</|DSML|parameter>\n</|DSML|invoke>\n'
    '<|DSML|invoke name="g">\n<|DSML|parameter name="b" string="true">x</|DSML|parameter>\n'
    "</|DSML|invoke>\n</|DSML|function_calls>"
).replace("|", "\uff5c")
_DEEPSEEK = (
    "<|tool▁calls▁begin|><|tool▁call▁begin|>f<|tool▁sep|>"
    '{"a": 1}<|tool▁call▁end|>\n<|tool▁call▁begin|>function<|tool▁sep|>g\n```json\n'
    '{"b": "x"}\n```<|tool▁call▁end|><|tool▁calls▁end|>'
).replace("|", "\uff5c")
_KIMI = (
    "<|tool_calls_section_begin|><|tool_call_begin|>functions.f:0<|tool_call_argument_begin|>"
    '{"a": 1}<|tool_call_end|><|tool_call_begin|>functions.g:1<|tool_call_argument_begin|>'
    '{"b": "x"}<|tool_call_end|><|tool_calls_section_end|>'
)
_HARMONY = (
    '<|channel|>commentary to=functions.f <|constrain|>json<|message|>{"a": 1}<|call|>'
    '<|start|>assistant to=functions.g<|channel|>commentary json<|message|>{"b": "x"}<|call|>'
)
_MUSE = (
    '<|start|>assistant to=f<|message|><atem:function_calls>\n<atem:invoke name="f">\n'
    '<atem:parameter name="a">1</atem:parameter>\n</atem:invoke>\n</atem:function_calls><|eom|>'
    '<|start|>assistant to=g<|message|><atem:function_calls>\n<atem:invoke name="g">\n'
    '<atem:parameter name="b">x</atem:parameter>\n</atem:invoke>\n</atem:function_calls><|eot|>'
)
_SOLAR = (
    '<|tool_calls|><|tool_call:begin|>a1b2<|tool_call:name|>f<|tool_call:args|>{"a": 1}'
    '<|tool_call:end|><|tool_call:begin|>c3d4<|tool_call:name|>g<|tool_call:args|>{"b": "x"}'
    "<|tool_call:end|><|calls|>"
)
_KIMI_K3 = (
    '<|open|>response[s]<|close|>response[s]<|open|>tools[s]<|open|>call tool="f" index="1"[s]'
    '<|open|>argument key="a" type="number"[s]1<|close|>argument[s]<|close|>call[s]'
    '<|open|>call tool="g" index="2"[s]<|open|>argument key="b" type="string"[s]x'
    "<|close|>argument[s]<|close|>call[s]<|close|>tools[s]<|close|>message[s]<|end_of_msg|>"
).replace("[s]", "<|sep|>")
_HUNYUAN = (
    "<tool_calls>\n<tool_call>f<tool_sep>\n<arg_key>a</arg_key>\n<arg_value>1</arg_value>\n"
    "</tool_call>\n<tool_call>g<tool_sep>\n<arg_key>b</arg_key>\n<arg_value>x</arg_value>\n"
    "</tool_call>\n</tool_calls>"
).replace(">", ":opensource>")
_M3 = (
    '[]<tool_call>\n[]<invoke name="f">[]<a>1[]</a>[]</invoke>\n'
    '[]<invoke name="g">[]<b>x[]</b>[]</invoke>\n[]</tool_call>'
).replace("[]", "]<]minimax[>[")
WRITTEN = {
    "muse": _MUSE,
    "solar": _SOLAR,
    "kimi-k3": _KIMI_K3,
    "apertus": '<|tools_prefix|>[{"f": {"a": 1}}, {"g": {"b": "x"}}]<|tools_suffix|>',
    "minimax-m3": _M3,
    "hunyuan": _HUNYUAN,
    "gigachat3": "<|message_sep|>\n\nfunction call<|role_sep|>\n"
    + _OBJECTS.replace(", {", "<|message_sep|>\n\nfunction call<|role_sep|>\n{")
    + "<|message_sep|>",
    "command-r": f"\nAction:\n```json\n{_TOOL_NAMES}```",
    "harmony": _HARMONY,
    "gemma": '<|tool_call>call:f{a:1}<tool_call|><|tool_call>call:g{b:<|"|>x<|"|>}<tool_call|>',
    "mistral": '[TOOL_CALLS]f[ARGS]{"a": 1}[TOOL_CALLS]g[ARGS]{"b": "x"}',
    "mistral-call-id": "[TOOL_CALLS]f[CALL_ID]012345678[ARGS]"
    '{"a": 1}[TOOL_CALLS]g[CALL_ID]abcdefghi[ARGS]{"b": "x"}',
    "mistral-list": f"[TOOL_CALLS][{_OBJECTS}]",
    "deepseek": _DEEPSEEK,
    "deepseek-r1": _DEEPSEEK,
    "deepseek-dsml": _DSML.replace("function_calls", "tool_calls"),
    "deepseek-dsml-v3.2": _DSML,
    "minimax": _MINIMAX,
    "minicpm": '<function name="f"><param name="a">1</param></function>\n'
    '<function name="g"><param name="b"><![CDATA[x]]></param></function>',
    "kimi": _KIMI,
    "lfm2": "<|tool_call_start|>[f(a=1), g(b='x')]<|tool_call_end|>",
    "glm": _GLM,
    "functionary-v3.2": '>>>f\n{"a": 1}\n>>>g\n{"b": "x"}',
    "functionary-v3.1": '<function=f>{"a": 1}</function><function=g>{"b": "x"}</function>',
    "seed": _XML.replace("tool_call>", "seed:tool_call>"),
    "xml-functions": _XML,
    "phi": f"<|tool_call|>[{_OBJECTS}]<|/tool_call|>",
    "granite": f"<|tool_call|>[{_OBJECTS}]",
    "nemotron": f"<TOOLCALL>[{_OBJECTS}]</TOOLCALL>",
    "firefunction": f" functools[{_OBJECTS}]",
    "gigachat": f"<|function_call|>{_OBJECTS}",
    "command-r7b": f"<|START_ACTION|>{_TOOL_NAMES}<|END_ACTION|>",
    "tool-calls": f"<tool_calls>[{_OBJECTS}]</tool_calls>",
    "tool-call-lines": "<tool_calls>\n" + _OBJECTS.replace("}}, ", "}}\n") + "\n</tool_calls>",
    "hermes": (
        '<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>\n'
        '<tool_call>\n{"name": "g", "arguments": {"b": "x"}}\n</tool_call>'
    ),
    "llama": '<|python_tag|>{"name": "f", "parameters": {"a": 1}}; {"name": "g", "parameters": '
    '{"b": "x"}}',
}
CALLS = [
    ParsedCall("f", '{"a": 1}', complete=True),
    ParsedCall("g", '{"b": "x"}', complete=True),
]
every_format = pytest.mark.parametrize("name", BY_NAME)


def parse(known: ToolFormat, *pieces: str, offered: OfferedTools = None) -> list[StreamEvent]:
    parser = known.parser(OFFERED if offered is None else offered)
    events = [event for piece in pieces for event in parser.feed(piece)]
    return joined(events + parser.finish())


def answer(known: ToolFormat, *pieces: str) -> ParsedAnswer:
    return collect(parse(known, *pieces))


def _openers(known: ToolFormat) -> tuple[str, ...]:
    openers: tuple[str, ...] = getattr(known.parser, "openers", ("<tool_call>",))
    return openers


def test_every_format_is_tested_here() -> None:
    assert WRITTEN.keys() == BY_NAME.keys()


# ---------------------------------------------------------------- calls


@every_format
def test_calls_are_read_and_leave_no_content(name: str) -> None:
    known, text = BY_NAME[name], WRITTEN[name]
    assert answer(known, text) == ParsedAnswer(tool_calls=CALLS)
    assert answer(known, text + "\n\n") == ParsedAnswer(tool_calls=CALLS)
    assert answer(known, *text) == ParsedAnswer(tool_calls=CALLS)


@every_format
def test_text_around_calls_is_content(name: str) -> None:
    known, text = BY_NAME[name], WRITTEN[name]
    assert answer(known, "Let me look.\n\n" + text) == ParsedAnswer("Let me look.", "", CALLS)
    assert answer(known, text + "\nThere.").content == "There."


@every_format
def test_any_tool_counts_where_none_is_named(name: str) -> None:
    known = BY_NAME[name]
    parser = known.parser(None)
    events = parser.feed(WRITTEN[name]) + parser.finish()
    assert collect(events).tool_calls == CALLS


@every_format
def test_calls_appear_before_they_are_whole(name: str) -> None:
    known, text = BY_NAME[name], WRITTEN[name]
    parser = known.parser(OFFERED)
    seen = [[type(event) for event in parser.feed(char)] for char in text]
    began = next(at for at, events in enumerate(seen) if CallStart in events)
    ended = next(at for at, events in enumerate(seen) if CallEnd in events)
    argued = next(at for at, events in enumerate(seen) if CallArguments in events)
    assert began <= argued < ended < len(text) - 1


@every_format
def test_what_is_cut_off_gives_whole_calls_first_and_no_part_of_a_tag(name: str) -> None:
    known, text = BY_NAME[name], WRITTEN[name]
    for end in range(len(text)):
        result = answer(known, text[:end])
        complete = [call for call in result.tool_calls if call.complete]
        assert complete == CALLS[: len(complete)]
        if result.tool_calls:
            assert not result.content or result.content.startswith(_openers(known))
        for call in complete:
            json.loads(call.arguments)


# ---------------------------------------------------------------- no calls


@every_format
@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n",
        "Hello",
        " Hello, {world}! <b>1 < 2</b> [1] ``` >>> print(1)\n",
        '{"answer": [1, 2, {"name": "f"}]}',
        '[{"name": 1}]',
        "<tool",
        "<functional> [TOOL] <|tool|>\n",
    ],
)
def test_an_answer_without_calls_is_its_own_text(name: str, text: str) -> None:
    assert answer(BY_NAME[name], text) == ParsedAnswer(content=text)
    assert answer(BY_NAME[name], *text) == ParsedAnswer(content=text)


@pytest.mark.parametrize("name", [name for name in BY_NAME if not BY_NAME[name].always])
@pytest.mark.parametrize("after", ["", " oops, no call\n", "\n{]", "{}", "\n\n", "<b>", "7"])
def test_an_opening_tag_without_a_call_is_content(name: str, after: str) -> None:
    known = BY_NAME[name]
    text = "Well " + _openers(known)[0] + after
    assert answer(known, text) == ParsedAnswer(content=text)


# ---------------------------------------------------------------- in any pieces

_RUBBISH = [
    "<", ">", " ", "\n", "\r\n", "text", "ü", "{", "}", "[", "]", ",", ":", '"', "\\", "-1.5e3",
    "true", '"name"', '"arguments"', ': "f"', '{"a": "b\\""}', "f", "f\n", "all\n", "```", "\ud800",
    "</parameter>", "</function>", '">', "x</parameter>", "<parameter=b>", "=", "[ARGS]", "json",
]  # fmt: skip


@st.composite
def _answers(draw: st.DrawFn) -> tuple[ToolFormat, str]:
    known = BY_NAME[draw(st.sampled_from(sorted(BY_NAME)))]
    written = WRITTEN[known.name]
    edges = st.integers(0, len(written))
    shard = st.tuples(edges, edges).map(lambda cut: written[min(cut) : max(cut)])
    opener = st.sampled_from((*known.tags, written)) if known.tags else st.just(written)
    pieces = st.lists(st.sampled_from(_RUBBISH) | shard | opener, max_size=12)
    return known, "".join(draw(pieces))


@given(_answers())
def test_character_by_character_gives_the_same_events(case: tuple[ToolFormat, str]) -> None:
    known, text = case
    assert parse(known, *text) == parse(known, text)


@given(_answers(), st.data())
def test_any_split_gives_the_same_events(case: tuple[ToolFormat, str], data: st.DataObject) -> None:
    known, text = case
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    pieces = [text[start:end] for start, end in itertools.pairwise([0, *cuts, len(text)])]
    assert parse(known, *pieces) == parse(known, text)


@given(_answers())
def test_calls_begin_once_in_order_and_what_ends_is_json(case: tuple[ToolFormat, str]) -> None:
    begun, ended = 0, set()
    for event in parse(*case):
        if isinstance(event, CallStart):
            assert event.index == begun
            assert event.name
            begun += 1
        elif isinstance(event, CallArguments | CallEnd):
            assert event.index == begun - 1
            assert event.index not in ended
        if isinstance(event, CallEnd):
            ended.add(event.index)
    if case[0].name != "hermes":
        for index, call in enumerate(collect(parse(*case)).tool_calls):
            assert call.complete == (index in ended)
            if call.complete:
                json.loads(call.arguments)


@given(st.sampled_from(sorted(BY_NAME)), st.text())
def test_any_text_without_tags_is_its_own_content(name: str, text: str) -> None:
    assert answer(BY_NAME[name], *text) == ParsedAnswer(content=text)


# ---------------------------------------------------------------- long answers

_N_CHARS = 100_000


def _long(known: ToolFormat, kind: str) -> str:
    written = WRITTEN[known.name]
    unit = {
        "calls": written + "\n",
        "openers": written[:12],
        "spaces": " \n",
        "brackets": "{",
        "tags": "<",
        "words": "f",
    }[kind]
    start = "" if kind == "calls" else written[: written.index("1")]
    return start + unit * (_N_CHARS // len(unit))


@pytest.mark.slow
@every_format
@pytest.mark.parametrize("kind", ["calls", "openers", "spaces", "brackets", "tags", "words"])
def test_long_answers_take_linear_time(name: str, kind: str) -> None:
    known = BY_NAME[name]
    began = time.process_time()
    text = _long(known, kind)
    parser = known.parser(OFFERED)
    parser.feed(text)
    parser.finish()
    parser = known.parser(OFFERED)
    for start in range(0, len(text), 8):
        parser.feed(text[start : start + 8])
    parser.finish()
    assert time.process_time() - began < 10
