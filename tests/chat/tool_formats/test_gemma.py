"""How Gemma 4's arguments, which are nearly JSON, become JSON."""

from __future__ import annotations

import json

import pytest

from app.chat.parsing.stream_parser import (
    CallArguments,
    CallStart,
    ParsedAnswer,
    ParsedCall,
    collect,
    joined,
)
from app.chat.tool_formats.gemma import GemmaParser


def answer(text: str) -> ParsedAnswer:
    whole, pieces = GemmaParser(), GemmaParser()
    events = joined(whole.feed(text) + whole.finish())
    assert joined([*(e for char in text for e in pieces.feed(char)), *pieces.finish()]) == events
    return collect(events)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("", {}),
        (" ", {}),
        ('a:<|"|>x<|"|>', {"a": "x"}),
        ('a:<|"|>say "hi", {b}\n<|"|>,b:2', {"a": 'say "hi", {b}\n', "b": 2}),
        ("a:-1.5e3,b:true,c:false,d:null", {"a": -1500.0, "b": True, "c": False, "d": None}),
        ("a:True,b:None,c:NaN", {"a": True, "b": None, "c": "NaN"}),
        ('a:[1,<|"|>x<|"|>,[],{}]', {"a": [1, "x", [], {}]}),
        ('a:{b:{c:[{d:<|"|>e<|"|>}]}}', {"a": {"b": {"c": [{"d": "e"}]}}}),
        ('a : "x", "b" : [ 1 , 2 ]', {"a": "x", "b": [1, 2]}),
        ('<|"|>a b<|"|>:1', {"a b": 1}),
        ("a:some words", {"a": "some words"}),
    ],
)
def test_arguments_become_json(written: str, expected: object) -> None:
    (call,) = answer(f"<|tool_call>call:f{{{written}}}<tool_call|>").tool_calls
    assert call.complete
    assert json.loads(call.arguments) == expected


def test_text_arguments_stream() -> None:
    parser = GemmaParser()
    assert parser.feed("<|tool_call>call:f{a:") == [CallStart(0, "f"), CallArguments(0, '{"a": ')]
    assert parser.feed('<|"|>Hel') == [CallArguments(0, '"Hel')]
    assert parser.feed("lo <|") == [CallArguments(0, "lo ")]


def test_results_that_the_model_waits_for_or_imagines_are_not_shown() -> None:
    call = "<|tool_call>call:f{}<tool_call|>"
    called = [ParsedCall("f", "{}", complete=True)]
    assert answer(call + "<|tool_response>") == ParsedAnswer("", "", called)
    imagined = "<|tool_response>response:f{value:5}<tool_response|>"
    assert answer(call + imagined + "It is 5.") == ParsedAnswer("It is 5.", "", called)


@pytest.mark.parametrize("broken", ["a:1", "a:1;", "a", ":1", "a:[1}", "a:" + "[" * 5000])
def test_a_call_that_breaks_off_is_not_whole(broken: str) -> None:
    (call,) = answer(f"<|tool_call>call:f{{{broken}<tool_call|>").tool_calls
    assert not call.complete
