"""The events of a parsed answer and the helpers that formats share."""

from __future__ import annotations

import pytest

from app.chat.parsing.stream_parser import (
    CallArguments,
    CallEnd,
    CallStart,
    ParsedAnswer,
    ParsedCall,
    PlainParser,
    ReasoningPiece,
    StreamEvent,
    TextPiece,
    collect,
    held_back,
    joined,
)


def test_a_plain_answer_is_all_text() -> None:
    parser = PlainParser()
    assert parser.feed("<tool_call>") == [TextPiece("<tool_call>")]
    assert parser.feed("") == []
    assert parser.finish() == []


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("hello", 0),
        ("hello ", 1),
        ("hello \n", 2),
        ("hello <", 2),
        ("hello<ta", 3),
        ("a<b", 0),
        ("<<ta", 3),
        ("<tag", 4),
        ("", 0),
    ],
)
def test_only_what_may_become_a_tag_is_held_back(text: str, kept: int) -> None:
    assert held_back(text, "<tag>") == kept


def test_neighbouring_pieces_are_joined() -> None:
    assert joined(
        [
            TextPiece("a"),
            TextPiece("b"),
            ReasoningPiece("c"),
            ReasoningPiece("d"),
            CallArguments(0, "{"),
            CallArguments(0, "}"),
            CallArguments(1, "{}"),
        ]
    ) == [TextPiece("ab"), ReasoningPiece("cd"), CallArguments(0, "{}"), CallArguments(1, "{}")]


def test_events_add_up_to_an_answer() -> None:
    events: list[StreamEvent] = [
        ReasoningPiece("hm"),
        TextPiece("a"),
        CallStart(0, "f"),
        CallArguments(0, "{"),
        CallArguments(0, "}"),
        CallEnd(0),
        CallStart(1, "g"),
    ]
    assert collect(events) == ParsedAnswer(
        content="a",
        reasoning="hm",
        tool_calls=[ParsedCall("f", "{}", complete=True), ParsedCall("g")],
    )
