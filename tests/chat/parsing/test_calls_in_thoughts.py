"""A call in thoughts that were not closed is a call, in every format and with every kind of tags.

Covers `app.chat.parsing.reasoning` and, of the formats' parsers, what they tell of their openers.
"""

from __future__ import annotations

import itertools
import json
import random
from functools import cache

import pytest

from app.chat.grammar.lark import Grammar
from app.chat.parsing.reasoning import ReasoningParser, ReasoningTags, detect_reasoning
from app.chat.parsing.stream_parser import (
    CallParser,
    ParsedAnswer,
    PlainParser,
    StreamEvent,
    collect,
    joined,
)
from app.chat.tool_formats import FORMATS, ToolFormat
from app.chat.tool_formats.base import ToolSpec
from app.chat.tools_as_text import GENERIC
from tests.chat.grammar.grammar_walks import Vocabulary

MESSAGES = ("harmony", "muse", "solar")  # think in messages of their own
AT_START = ("llama",)  # what begins a call is only looked for where the answer begins
THINKING = {
    known.name: known
    for known in (*FORMATS, GENERIC)
    if known.name not in (*MESSAGES, *AT_START) and known.block
}
RUN = ToolSpec(
    "run", {"type": "object", "properties": {"cmd": {"enum": ["ls"]}}, "required": ["cmd"]}
)
OFFERED = {"run": {"type": "object", "properties": {"cmd": {"type": "string"}}}}
MARKS = (
    "</think>", "<|channel>thought", "<|START_THINKING|>", "[THINK]", "<seed:think>", "<mm:think>",
    "</think{}>", "open_tag('think'", "[BEGIN FINAL RESPONSE] Here are my reasoning steps:",
    "</thinking>", "<|inner_prefix|>",
)  # fmt: skip
K3 = ReasoningTags("<|open|>think<|sep|>", "<|close|>think<|sep|>", ("<|open|>response<|sep|>",))
OWN = {"kimi-k3": K3}  # of formats whose parsers know the tags too
THINK = ReasoningTags("<think>", "</think>")
every_format = pytest.mark.parametrize("name", THINKING)


def tags_of(mark: str) -> ReasoningTags:
    tags = detect_reasoning(mark)
    assert tags is not None
    return tags


TAGS = [tags_of(mark) for mark in MARKS]


@cache
def call_of(name: str) -> str:
    """Return a call as models of the format write it."""
    known = THINKING[name]
    assert known.block
    words, grammar = Vocabulary(), Grammar()
    block = known.block(grammar, [RUN], True)
    start = words.matcher(grammar.text(block.body))
    before = "" if name in OWN else block.before
    return before + block.trigger + words.walk(start, random.Random(0), n_free=0)


def parse(
    known: ToolFormat, tags: ReasoningTags, *pieces: str, is_open: bool = True
) -> list[StreamEvent]:
    parser = ReasoningParser(known.parser(OFFERED), tags, is_open=is_open)
    events = [event for piece in pieces for event in parser.feed(piece)]
    return joined([*events, *parser.finish()])


def answer(name: str, text: str, tags: ReasoningTags | None = None) -> ParsedAnswer:
    """Return what is read of an answer whose thoughts are open, whole and in pieces."""
    known, chance = THINKING[name], random.Random(text)
    tags = tags or OWN.get(name, THINK)
    text = text.replace("</think>", tags.closing)
    whole = parse(known, tags, text)
    assert parse(known, tags, *text) == whole
    cuts = sorted(chance.randrange(len(text)) for _ in range(4))
    assert parse(known, tags, *_pieces(text, cuts)) == whole
    assert parse(known, tags, tags.opening + text, is_open=False) == whole
    return collect(whole)


def _pieces(text: str, cuts: list[int]) -> list[str]:
    return [text[start:end] for start, end in itertools.pairwise([0, *cuts, len(text)])]


def assert_called(read: ParsedAnswer, n_calls: int = 1) -> None:
    assert [call.name for call in read.tool_calls] == ["run"] * n_calls
    for call in read.tool_calls:
        assert call.complete
        assert json.loads(call.arguments) == {"cmd": "ls"}


# ---------------------------------------------------------------- calls


@every_format
def test_a_call_in_open_thoughts_ends_them(name: str) -> None:
    read = answer(name, f"Look.\n{call_of(name)}")
    assert (read.reasoning, read.content) == ("Look.", "")
    assert_called(read)


@pytest.mark.parametrize("tags", TAGS, ids=lambda tags: tags.opening)
@pytest.mark.parametrize("name", ["xml-functions", "kimi", "hermes"])
def test_it_does_with_every_kind_of_tags(name: str, tags: ReasoningTags) -> None:
    read = answer(name, f"Look.\n\n{call_of(name)}", tags)
    assert (read.reasoning, read.content) == ("Look.", "")
    assert_called(read)


@every_format
@pytest.mark.parametrize("between", ["", "\n", "\n\n"])
def test_a_closing_tag_that_comes_after_the_call_is_not_shown(name: str, between: str) -> None:
    read = answer(name, f"Look.\n{call_of(name)}{between}</think>\n\nDone.")
    assert (read.reasoning, read.content) == ("Look.", "Done.")
    assert_called(read)


@every_format
def test_what_follows_such_a_call_is_answer(name: str) -> None:
    call = call_of(name)
    assert_called(answer(name, f"Look.\n{call}\n{call}"), 2)
    parser = THINKING[name].parser(OFFERED)
    assert isinstance(parser, CallParser)
    read = answer(name, f"Look.\n{call}\nSo </think> and </think>.")
    if not parser.calls_end_thoughts:  # the thoughts go on
        assert read == ParsedAnswer("and </think>.", f"Look.\n{call}\nSo")
        return
    assert read.content in ("So\nand </think>.", "So\nand.")  # Kimi K3 shows no tag, ever


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("xml-functions", "<function=run>\n<parameter=cmd>\nls\n</parameter>\n</function>"),
        (
            "kimi",
            "<|tool_call_begin|>functions.run:0<|tool_call_argument_begin|>"
            '{"cmd": "ls"}<|tool_call_end|>',
        ),
        ("minimax", '<invoke name="run">\n<parameter name="cmd">ls</parameter>\n</invoke>'),
    ],
)
def test_calls_without_the_section_around_them_end_thoughts_too(name: str, call: str) -> None:
    read = answer(name, f"Look.\n{call}")
    assert read.reasoning == "Look."
    assert_called(read)


def test_arguments_with_a_closing_tag_stay_whole() -> None:
    call = '<tool_call>\n{"name": "run", "arguments": {"cmd": "a</think>b"}}\n</tool_call>'
    read = answer("hermes", f"Look.\n{call}\n{call}</think>Done.")
    assert read.content == "Done."
    assert [json.loads(call.arguments) for call in read.tool_calls] == [{"cmd": "a</think>b"}] * 2


def test_a_call_that_is_cut_off_in_thoughts_has_begun() -> None:
    read = answer("hermes", 'Look.\n<tool_call>\n{"name": "run", "arguments": {"cmd": "l')
    assert (read.reasoning, read.content) == ("Look.", "")
    assert [(call.name, call.complete) for call in read.tool_calls] == [("run", False)]


@every_format
def test_a_call_that_a_limit_cuts_in_thoughts_leaves_no_mark_up(name: str) -> None:
    call = call_of(name)
    for n_chars in range(1, len(call)):
        parser = ReasoningParser(THINKING[name].parser(OFFERED), OWN.get(name, THINK), is_open=True)
        text = f"Look.\n{call[:n_chars]}"
        read = collect([*parser.feed(text), *parser.finish(cut=True)])
        assert read.content == "", n_chars
        assert read.reasoning in ("Look.", f"Look.\n{call[:1]}"), n_chars


# ---------------------------------------------------------------- what is no call


@every_format
def test_thoughts_about_a_tag_stay_thoughts(name: str) -> None:
    parser = THINKING[name].parser(OFFERED)
    assert isinstance(parser, CallParser)
    for opener in parser.call_openers:
        thought = f"I write {opener} first. Then `{opener}` again, and ({opener})."
        read = answer(name, f"{thought}\n</think>\n\nDone.")
        assert read == ParsedAnswer("Done.", thought)


@every_format
def test_a_call_that_is_quoted_stays_a_thought(name: str) -> None:
    thought = f"Such as `{call_of(name)}`, if at all."
    read = answer(name, f"{thought}</think>Done.")
    assert read == ParsedAnswer("Done.", thought)


@every_format
def test_a_call_of_a_tool_that_is_not_offered_stays_a_thought(name: str) -> None:
    thought = call_of(name).replace("run", "nix")
    read = answer(name, f"Look.\n{thought}\n</think>Done.")
    assert read.tool_calls == [] or name in OWN
    assert thought in read.reasoning or name in OWN


@pytest.mark.parametrize("arguments", ["...", "<arguments>", "", "nothing"])
def test_the_outline_of_a_call_stays_a_thought(arguments: str) -> None:
    thought = f'<tool_call>{{"name": "run", "arguments": {arguments}}}</tool_call>'
    assert answer("hermes", f"{thought}</think>Done.") == ParsedAnswer("Done.", thought)


def test_a_call_may_come_after_the_talk_about_it() -> None:
    talk = "I use <tool_call>, or `<tool_call>`.\nLook."
    read = answer("xml-functions", f"{talk}\n{call_of('xml-functions')}")
    assert (read.reasoning, read.content) == (talk, "")
    assert_called(read)


def test_without_tools_all_of_it_is_thought() -> None:
    parser = ReasoningParser(PlainParser(), THINK, is_open=True)
    text = f"Look.\n{call_of('hermes')}"
    assert collect([*parser.feed(text), *parser.finish()]) == ParsedAnswer("", text)


@pytest.mark.parametrize("name", ["hermes", "xml-functions", "kimi"])
def test_thoughts_are_passed_on_while_they_come(name: str) -> None:
    parser = ReasoningParser(THINKING[name].parser(OFFERED), THINK, is_open=True)
    shown = collect(event for letter in "Hm, a < b, so" for event in parser.feed(letter))
    assert shown.reasoning == "Hm, a < b, so"


@every_format
def test_thoughts_that_go_on_behind_a_call_keep_it_where_the_family_closes_them(name: str) -> None:
    call = call_of(name)
    parser = THINKING[name].parser(OFFERED)
    assert isinstance(parser, CallParser)
    read = answer(name, f"Look: {call} hmm.\n</think>\n\n{call}")
    assert_called(read, 2 if parser.calls_end_thoughts else 1)
    if not parser.calls_end_thoughts:
        assert (read.reasoning, read.content) == (f"Look: {call} hmm.", "")
