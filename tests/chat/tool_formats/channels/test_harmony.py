"""How gpt-oss's answers are read: thoughts, calls and answer are told by channel and recipient."""

from __future__ import annotations

import pytest

from app.chat.parsing.stream_parser import (
    CallArguments,
    CallEnd,
    CallStart,
    ParsedAnswer,
    ParsedCall,
    ReasoningPiece,
    TextPiece,
    collect,
    joined,
)
from app.chat.tool_formats.channels.harmony import FORMAT, HarmonyParser

ANALYSIS = "<|channel|>analysis<|message|>Hm.<|end|>"
FINAL = "<|start|>assistant<|channel|>final<|message|>Yes.<|return|>"
CALLED = [ParsedCall("f", '{"a": 1}', complete=True)]


def answer(text: str) -> ParsedAnswer:
    whole, pieces = HarmonyParser(), HarmonyParser()
    events = joined(whole.feed(text) + whole.finish())
    assert joined([*(e for char in text for e in pieces.feed(char)), *pieces.finish()]) == events
    return collect(events)


def test_every_answer_needs_the_parser() -> None:
    assert FORMAT.always


def test_thoughts_and_answer_are_told_apart() -> None:
    assert answer(ANALYSIS + FINAL) == ParsedAnswer("Yes.", "Hm.")
    assert answer("<|channel|>final<|message|>Yes.\n\nNo.") == ParsedAnswer("Yes.\n\nNo.")


@pytest.mark.parametrize(
    "header",
    [
        "<|channel|>commentary to=functions.f <|constrain|>json<|message|>",
        "<|channel|>commentary to=functions.f<|constrain|>json<|message|>",
        "<|channel|>commentary to=functions.f json<|message|>",
        "<|channel|>commentary to=f<|message|>",
        "<|channel|>analysis to=functions.f code<|message|>",
        " to=functions.f<|channel|>commentary <|constrain|>json<|message|>",
        " to=functions.f<|channel|>commentary json<|message|>",
        ANALYSIS + "<|start|>assistant to=functions.f<|channel|>commentary json<|message|>",
        ANALYSIS + "<|start|>assistant<|channel|>commentary to=functions.f json<|message|>",
    ],
)
def test_a_message_to_a_tool_is_a_call(header: str) -> None:
    reasoning = "Hm." if ANALYSIS in header else ""
    for end in ("", "<|call|>", "\n<|call|>", "<|end|>"):
        assert answer(header + '{"a": 1}' + end) == ParsedAnswer("", reasoning, CALLED)


def test_commentary_for_nobody_is_text_before_the_calls() -> None:
    preamble = "<|channel|>commentary<|message|>Let me see.<|end|>"
    call = '<|start|>assistant to=functions.f<|channel|>commentary<|message|>{"a": 1}<|call|>'
    assert answer(preamble + call) == ParsedAnswer("Let me see.", "", CALLED)


def test_thoughts_and_arguments_stream() -> None:
    parser = HarmonyParser()
    assert parser.feed("<|channel|>analysis<|message|>") == []
    assert parser.feed("I ") == [ReasoningPiece("I ")]
    assert parser.feed("see<|end|>") == [ReasoningPiece("see")]
    assert parser.feed("<|start|>assistant to=functions.f<|channel|>commentary<|message|>") == []
    assert parser.feed('{"a":') == [CallStart(0, "f"), CallArguments(0, '{"a":')]
    assert parser.feed("1}") == [CallArguments(0, "1}"), CallEnd(0)]
    assert parser.feed("<|call|><|start|>assistant<|channel|>final<|message|>") == []
    assert parser.feed("Yes") == [TextPiece("Yes")]


def test_it_is_known_when_the_model_thinks() -> None:
    parser = HarmonyParser()
    states = []
    for piece in ("<|channel|>", "analysis<|message|>", "Hm", "<|end|>", "<|start|>assistant"):
        parser.feed(piece)
        states.append(parser.in_reasoning)
    assert states == [False, True, True, False, False]


def test_what_is_no_json_is_passed_on_as_a_call_that_is_not_whole() -> None:
    text = "<|channel|>analysis to=python code<|message|>print(1)<|call|>"
    assert answer(text) == ParsedAnswer(tool_calls=[ParsedCall("python", "print(1)")])


def test_a_result_that_the_model_imagines_is_not_shown() -> None:
    result = "<|start|>functions.f to=assistant<|channel|>commentary<|message|>5<|end|>"
    assert answer(ANALYSIS + result + FINAL) == ParsedAnswer("Yes.", "Hm.")


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("Yes.", "Yes."),
        (" to be", " to be"),
        ("<|message|>Yes.", "Yes."),
        ("<|channel|>final<|message|>Yes.<|end|>\nWell.", "Yes.Well."),
        ("<|channel|>final<|message|>Yes.<|start|>assistant", "Yes."),
        ("<|channel|>final<|message|>Yes.<|channel|>comm", "Yes."),
        ("<|channel|>fin", ""),
        ("<|start|>", ""),
        ("<|start|>, then", ", then"),
        ("<|end|>Yes.<|constrain|>", "Yes."),
        ("<|channel|>final<|message|>Is<|message|> it?", "Is it?"),
    ],
)
def test_heads_that_are_none_leave_their_words_and_no_tag(text: str, content: str) -> None:
    assert answer(text) == ParsedAnswer(content)
