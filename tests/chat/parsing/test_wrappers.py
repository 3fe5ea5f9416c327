"""What models write around an answer's text is not shown, whole or in pieces."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.chat.parsing.reasoning import ReasoningParser, detect_reasoning
from app.chat.parsing.stream_parser import (
    ParsedAnswer,
    ParsedCall,
    PlainParser,
    StreamEvent,
    StreamParser,
    TextPiece,
    collect,
    joined,
)
from app.chat.parsing.wrappers import RequiredCallsParser, WrapperParser, detect_marks
from app.chat.tool_formats import gemma, json_lists
from app.chat.tool_formats.hermes import HermesParser

GEMMA = "<|channel>thought"
R7B = "<|START_RESPONSE|>"
GRANITE = "write your response between <response></response>"
APRIEL = "[BEGIN FINAL RESPONSE] ... [END FINAL RESPONSE]"
LAGUNA = "</assistant>"
THOUGHT = "<|channel>thought\n"
END = "<channel|>"


def parser(
    template: str, inner: StreamParser | None = None, *, is_open: bool = False
) -> StreamParser:
    marks = detect_marks(template)
    assert marks
    wrapped = WrapperParser(inner or PlainParser(), marks, is_open=is_open)
    tags = detect_reasoning(template)
    return ReasoningParser(wrapped, tags, is_open=False) if tags else wrapped


def events_of(parser: StreamParser, pieces: Sequence[str], *, cut: bool) -> list[StreamEvent]:
    events = [event for piece in pieces for event in parser.feed(piece)]
    return joined([*events, *(parser.finish(cut=True) if cut else parser.finish())])


def answer(template: str, text: str, *, cut: bool = False, is_open: bool = False) -> ParsedAnswer:
    whole = events_of(parser(template, is_open=is_open), [text], cut=cut)
    assert events_of(parser(template, is_open=is_open), list(text), cut=cut) == whole
    return collect(whole)


def test_a_template_without_marks_has_none() -> None:
    assert detect_marks("{{ messages }}<|im_start|>") is None


@pytest.mark.parametrize(
    ("template", "text"),
    [
        (R7B, "<|START_RESPONSE|>Hi\nthere<|END_RESPONSE|>"),
        (R7B, "<|START_RESPONSE|>Hi\nthere"),
        (R7B, "Hi\nthere<|END_RESPONSE|>"),
        (R7B, "Hi\nthere"),
        (R7B, "<|START_RESPONSE|>\nHi\nthere\n<|END_RESPONSE|>\n"),
        ("<|START_TEXT|>", "<|START_TEXT|>Hi\nthere<|END_TEXT|>"),
        ("<|CHATBOT_TOKEN|>", "<|CHATBOT_TOKEN|>Hi\nthere<|END_OF_TURN_TOKEN|>"),
        (R7B, "<|CHATBOT_TOKEN|><|START_RESPONSE|>Hi\nthere<|END_RESPONSE|><|END_OF_TURN_TOKEN|>"),
        (GRANITE, "<response>Hi\nthere</response>"),
        (GRANITE, "\n<response>\nHi\nthere\n</response>\n"),
        (GRANITE, "Hi\nthere</response>"),
        (APRIEL, "[BEGIN FINAL RESPONSE]\nHi\nthere\n[END FINAL RESPONSE]"),
        ("<answer></answer>", "<answer>\nHi\nthere\n</answer>"),
        (LAGUNA, "Hi\nthere\n</assistant>\n"),
    ],
)
def test_the_text_between_marks_is_the_answer(template: str, text: str) -> None:
    assert answer(template, text) == ParsedAnswer("Hi\nthere")
    for end in range(len(text)):
        content = answer(template, text[:end], cut=True).content
        assert "Hi\nthere".startswith(content.strip().removesuffix("<").removesuffix("[").strip())


@pytest.mark.parametrize("template", [R7B, GRANITE, "<answer></answer>"])
def test_marks_whose_opening_the_prompt_has_are_closed(template: str) -> None:
    marks = detect_marks(template)
    assert marks
    assert answer(template, f"Hi{marks.closing}", is_open=True) == ParsedAnswer("Hi")
    assert answer(template, f"{marks.opening}Hi{marks.closing}", is_open=False).content == "Hi"


@pytest.mark.parametrize(
    ("template", "text"),
    [
        (GRANITE, "Write <response> first, </response> last."),
        (GRANITE, "</response> is a tag."),
        (LAGUNA, "In <assistant>a</assistant> tags."),
        (R7B, " Hi \n"),
        (R7B, "a <|START"),
    ],
)
def test_words_like_marks_in_a_text_are_text(template: str, text: str) -> None:
    assert answer(template, text) == ParsedAnswer(text)


def test_what_looks_like_the_opening_mark_at_the_end_of_a_cut_text_is_text() -> None:
    for text in ("See [BE", "\n[BE[BE"):
        assert answer(APRIEL, text, cut=True) == ParsedAnswer(text)


@pytest.mark.parametrize(
    "text",
    [
        f"{THOUGHT}{END}Hi",
        f"{END}Hi",
        f"{END}{END}Hi",
        f"{THOUGHT}{END}{THOUGHT}{END}Hi",
        f"{THOUGHT}{END}\n{THOUGHT}{END}\nHi",
        f"<|channel>{THOUGHT}{END}Hi",
        f"{THOUGHT}{END}{END}Hi",
        f"Hi{END}",
        f"Hi{THOUGHT}{END}",
        f"Hi\n{THOUGHT}{END}\n",
        f"Hi{THOUGHT}{END}{END}",
        f"{THOUGHT}{END}Hi{THOUGHT}{END}",
        f"{THOUGHT}{END}Hi{END}{END}",
        "Hi<|channel>",
        f"Hi{THOUGHT}",
    ],
)
def test_empty_and_stray_channels_of_gemma_are_not_shown(text: str) -> None:
    assert answer(GEMMA, text) == ParsedAnswer("Hi")


def test_gemma_may_think_again_behind_text_and_between_calls() -> None:
    text = f"{THOUGHT}A.{END}Well,{THOUGHT} B b \n{END} yes."
    assert answer(GEMMA, text) == ParsedAnswer("Well, yes.", "A.B b")
    call = "<|tool_call>call:f{}<tool_call|>"
    for pieces in ([call + THOUGHT + END + call], list(call + THOUGHT + END + call + END)):
        wrapped = parser(GEMMA, gemma.FORMAT.parser(None))
        calls = [ParsedCall("f", "{}", complete=True)] * 2
        assert collect(events_of(wrapped, pieces, cut=False)) == ParsedAnswer("", "", calls)


def test_calls_behind_a_wrapped_text_are_calls() -> None:
    text = (
        "<|START_RESPONSE|>Wait.<|END_RESPONSE|>\n<|START_ACTION|>["
        '{"tool_call_id": "0", "tool_name": "f", "parameters": {"a": 1}}]<|END_ACTION|>'
    )
    calls = [ParsedCall("f", '{"a": 1}', complete=True)]
    for pieces in ([text], list(text)):
        wrapped = parser(R7B, json_lists.COMMAND_R7B.parser(None))
        result = collect(events_of(wrapped, pieces, cut=False))
        assert result == ParsedAnswer("Wait.", "", calls)


def test_text_streams_but_for_what_may_become_a_mark() -> None:
    wrapped = parser(R7B)
    assert wrapped.feed("<|START_RESPONSE|>Hel") == [TextPiece("Hel")]
    assert wrapped.feed("lo <|END") == [TextPiece("lo")]
    assert wrapped.feed("_RESPONSE|>") == []
    assert wrapped.finish() == []


_SHARDS = [
    "<|channel>", "thought", "\n", END, "Hi", " ", "<", "|>", "<|START_RESPONSE|>",
    "<|END_RESPONSE|>", "<response>", "</response>", "</", "</assistant>", "[BEGIN", "[END",
    "[BEGIN FINAL RESPONSE]", "[END FINAL RESPONSE]",
]  # fmt: skip


@given(
    st.sampled_from([GEMMA, R7B, GRANITE, LAGUNA, APRIEL]),
    st.lists(st.sampled_from(_SHARDS), max_size=10).map("".join),
    st.booleans(),
)
def test_character_by_character_gives_the_same_answer(template: str, text: str, cut: bool) -> None:
    answer(template, text, cut=cut)


def test_what_is_left_at_the_end_of_required_calls_is_a_part_of_one() -> None:
    call = '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>'
    calls = [ParsedCall("f", "{}", complete=True)]
    result = events_of(RequiredCallsParser(HermesParser()), ["Well.\n" + call, "\n<"], cut=False)
    assert collect(result) == ParsedAnswer("Well.", "", calls)
    for text in ("<", "<tool_c", "<tool_call>", '<tool_call>{"na'):
        for cut in (True, False):
            assert events_of(RequiredCallsParser(HermesParser()), [text], cut=cut) == []
