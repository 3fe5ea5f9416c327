"""The opening tag that a prompt holds is shown with thoughts that stay in the text, not without.

Covers `app.chat.parsing.unsplit`.
"""

from __future__ import annotations

import pytest

from app.chat.parsing.reasoning import ReasoningTags
from app.chat.parsing.stream_parser import ParsedAnswer, collect
from app.chat.parsing.unsplit import ShownReasoningParser
from app.chat.tool_formats import hermes

TAGS = ReasoningTags("<think>", "</think>", also_end=("<answer>",))
CALL = '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>'


def read(text: str) -> ParsedAnswer:
    answers = []
    for pieces in ([text], list(text)):
        parser = ShownReasoningParser(hermes.FORMAT.parser(None), TAGS, opened="<think>\n")
        events = [event for piece in pieces for event in parser.feed(piece)]
        answers.append(collect([*events, *parser.finish()]))
    assert answers[0] == answers[1]
    return answers[0]


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("So.\n</think>\n\nYes.", "<think>\nSo.\n</think>\n\nYes."),
        ("</think>Yes.", "<think>\n</think>Yes."),
        ("So", "<think>\nSo"),
        ("<answer>Yes.", "<answer>Yes."),
        ("So.<answer>Yes.", "<think>\nSo.<answer>Yes."),
        ("", ""),
    ],
)
def test_the_opening_tag_comes_with_the_first_thought(text: str, content: str) -> None:
    assert read(text) == ParsedAnswer(content)


def test_a_call_at_once_has_no_opening_tag_before_it() -> None:
    answer = read(CALL)
    assert answer.content == ""
    assert [call.name for call in answer.tool_calls] == ["f"]


def test_a_call_that_closed_thoughts_speak_of_stays_in_them() -> None:
    text = f"Maybe {CALL} helps.</think>{CALL}"
    answer = read(text)
    assert answer.content == f"<think>\nMaybe {CALL} helps.</think>"
    assert [call.name for call in answer.tool_calls] == ["f"]
