"""Calls of two formats in one answer are read as each format reads its own."""

from __future__ import annotations

from itertools import product

import pytest

from app.chat.parsing.either_parser import EitherParser
from app.chat.parsing.reasoning import ReasoningParser, ReasoningTags
from app.chat.parsing.stream_parser import (
    CallParser,
    ParsedAnswer,
    ParsedCall,
    StreamEvent,
    collect,
    joined,
)
from app.chat.tool_formats.deepseek import R1, V31
from app.chat.tool_formats.hermes import HermesParser

GENERIC = '<tool_call>\n{"name": "g", "arguments": {"a": "<x>"}}\n</tool_call>'
G = ParsedCall("g", '{"a": "<x>"}', complete=True)
F = ParsedCall("f", '{"a": 1}', complete=True)


def tag(words: str) -> str:
    return f"<\N{FULLWIDTH VERTICAL LINE}{words}\N{FULLWIDTH VERTICAL LINE}>"


BEGIN, END = tag("tool▁calls▁begin"), tag("tool▁calls▁end")
PLAIN = f"{tag('tool▁call▁begin')}f{tag('tool▁sep')}{F.arguments}{tag('tool▁call▁end')}"
CODE = (
    f"{tag('tool▁call▁begin')}function{tag('tool▁sep')}f\n```json\n{F.arguments}\n```"
    f"{tag('tool▁call▁end')}"
)
NATIVE = [f"{BEGIN}{PLAIN}{END}", f"{BEGIN}{CODE}{END}"]


def parser() -> EitherParser:
    return EitherParser(lambda: V31.parser(None), HermesParser)


def events(text: str, n: int, *, cut: bool = False) -> list[StreamEvent]:
    reader = parser()
    pieces = [text[at : at + n] for at in range(0, len(text), n)]
    found = [event for piece in pieces for event in reader.feed(piece)]
    return joined([*found, *reader.finish(cut=cut)])


@pytest.mark.parametrize("n", [1, 3, 10_000])
@pytest.mark.parametrize(
    ("text", "answer"),
    [
        *((native, ParsedAnswer("", "", [F])) for native in NATIVE),
        (GENERIC, ParsedAnswer("", "", [G])),
        (f"Look.\n{GENERIC}", ParsedAnswer("Look.", "", [G])),
        (f"Look.\n{NATIVE[0]}", ParsedAnswer("Look.", "", [F])),
        (f"{GENERIC}\n{NATIVE[1]}\n{GENERIC}\nDone.", ParsedAnswer("Done.", "", [G, F, G])),
        (f"{BEGIN}{PLAIN}{PLAIN}{END}{GENERIC}{GENERIC}", ParsedAnswer("", "", [F, F, G, G])),
        ("a < b, <tool> and more", ParsedAnswer("a < b, <tool> and more")),
        (f"{GENERIC[:-14]}{NATIVE[0]}", ParsedAnswer("", "", [G, F])),
        ('<tool_call>{"name": "g", "arg', ParsedAnswer("", "", [ParsedCall("g")])),
    ],
)
def test_calls_of_both_are_read_in_their_order(text: str, answer: ParsedAnswer, n: int) -> None:
    assert collect(events(text, n)) == answer


@pytest.mark.parametrize(("text", "n"), list(product([*NATIVE, GENERIC], [1, 10_000])))
def test_a_cut_leaves_no_mark_up(text: str, n: int) -> None:
    for end in range(len(text) + 1):
        assert collect(events(text[:end], n, cut=True)).content == ""


def test_text_streams() -> None:
    reader = parser()
    assert collect(reader.feed("A long ")).content + collect(reader.feed("answer")).content


def test_both_formats_write_what_is_read() -> None:
    assert R1.write is not None
    made = [("f", {"a": 1}), ("f", '{"a": 1}')]
    assert collect(events(f"So: {R1.write(made)}", 5)) == ParsedAnswer("So:", "", [F, F])


def test_a_fresh_parser_has_read_nothing() -> None:
    used = parser()
    used.feed(GENERIC[:20])
    assert used.fresh().finish() == []
    assert isinstance(used.fresh(), EitherParser)


def test_calls_of_both_are_found_in_thoughts_that_are_not_closed() -> None:
    tags = ReasoningTags("<think>", "</think>")
    assert R1.write
    own = R1.write([("f", {})])
    for call in (own, '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>'):
        for text, n_calls in ((f"So.\n{call}", 1), (f"So {call} it is.</think>Yes.", 0)):
            inner = EitherParser(lambda: R1.parser(None), HermesParser)
            assert isinstance(inner, CallParser)
            parser = ReasoningParser(inner, tags, is_open=True)
            answer = collect([*parser.feed(text), *parser.finish()])
            assert len(answer.tool_calls) == n_calls
            assert answer.content == ("" if n_calls else "Yes.")
