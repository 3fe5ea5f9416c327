"""How answers of Muse Glimmer, Solar Open and Kimi K3 are read, where text has tags around it.

Covers `app.chat.tool_formats.channels.kimi_k3`, `app.chat.tool_formats.channels.muse` and
`app.chat.tool_formats.channels.solar`.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.chat.parsing.stream_parser import ParsedAnswer, ParsedCall, collect, joined
from app.chat.tool_formats.base import ToolFormat
from app.chat.tool_formats.channels import harmony, kimi_k3, muse, solar
from app.chat.tool_formats.syntax.messages import MessagesParser

CALLED = [ParsedCall("f", '{"a": 1}', complete=True)]
MUSE_CALL = (
    '<atem:function_calls>\n<atem:invoke name="f">\n<atem:parameter name="a">1</atem:parameter>\n'
    "</atem:invoke>\n</atem:function_calls>"
)
SOLAR_CALL = (
    '<|tool_call:begin|>a1<|tool_call:name|>f<|tool_call:args|>{"a": 1}<|tool_call:end|><|calls|>'
)


def answer(known: ToolFormat, text: str) -> ParsedAnswer:
    whole, pieces = known.parser(None), known.parser(None)
    events = joined(whole.feed(text) + whole.finish())
    assert joined([*(e for char in text for e in pieces.feed(char)), *pieces.finish()]) == events
    return collect(events)


@pytest.mark.parametrize("known", [muse.FORMAT, solar.FORMAT, kimi_k3.FORMAT])
def test_every_answer_needs_the_parser(known: ToolFormat) -> None:
    assert known.always
    assert answer(known, "Just text.") == ParsedAnswer("Just text.")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            " to=self<|message|>Hm.<|eom|><|start|>assistant to=user<|message|>Yes.<|eot|>",
            ParsedAnswer("Yes.", "Hm."),
        ),
        ("<|message|>Yes.", ParsedAnswer("Yes.")),
        (f" to=f<|message|>{MUSE_CALL}<|eot|>", ParsedAnswer("", "", CALLED)),
        (
            f" to=self<|message|>Hm.<|eom|><|start|>assistant to=f<|message|>{MUSE_CALL}<|eot|>",
            ParsedAnswer("", "Hm.", CALLED),
        ),
        (
            f" to=f<|message|>{MUSE_CALL}<|eot|><|start|>tool f<|message|>imagined<|eot|>",
            ParsedAnswer("", "", CALLED),
        ),
    ],
)
def test_muse_tells_messages_by_their_recipient(text: str, expected: ParsedAnswer) -> None:
    assert answer(muse.FORMAT, text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "<|think|>Hm.<|end|><|begin|>assistant<|content|>Yes.<|end|>",
            ParsedAnswer("Yes.", "Hm."),
        ),
        ("<|content|>Yes.", ParsedAnswer("Yes.")),
        ("<|think|>Hm.<|end|><|content|>Yes.", ParsedAnswer("Yes.", "Hm.")),
        (
            f"<|think|>Hm.<|end|><|begin|>assistant<|tool_calls|>{SOLAR_CALL}",
            ParsedAnswer("", "Hm.", CALLED),
        ),
        ("<|tool_calls|><|tool_call:begin|>a1<|calls|>", ParsedAnswer()),
    ],
)
def test_solar_tells_messages_by_their_kind(text: str, expected: ParsedAnswer) -> None:
    assert answer(solar.FORMAT, text) == expected


@pytest.mark.parametrize(
    ("parser", "thought", "end"),
    [
        (muse.MuseParser(), " to=self<|message|>Hm", "<|eom|>"),
        (solar.SolarParser(), "<|think|>Hm", "<|end|>"),
    ],
)
def test_it_is_known_when_the_model_thinks(parser: MessagesParser, thought: str, end: str) -> None:
    states = []
    for piece in ("", thought, end):
        parser.feed(piece)
        states.append(parser.in_reasoning)
    assert states == [False, True, False]


def tags(text: str) -> str:
    return text.replace("[", "<|open|>").replace("{", "<|close|>").replace("]", "<|sep|>")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (tags("[response]Yes.{response]{message]<|end_of_msg|>"), ParsedAnswer("Yes.")),
        (tags("Yes.{response]{message]"), ParsedAnswer("Yes.")),
        (
            tags('Well.{response][tools][call tool="f" index="1"][json type="object"]')
            + '{"a": 1}'
            + tags("{json]{call]{tools]{message]"),
            ParsedAnswer("Well.", "", CALLED),
        ),
        (
            tags('[tools][call tool="f" index="1"][argument key="a &amp; &quot;b" type="string"]1')
            + tags("{argument]{call]{tools]"),
            ParsedAnswer("", "", [ParsedCall("f", r'{"a & \"b": "1"}', complete=True)]),
        ),
        (
            tags('[tools][call tool="f" index="1"]{call]{tools]'),
            ParsedAnswer("", "", [ParsedCall("f", "{}", complete=True)]),
        ),
        (tags("Yes.{response][tools]oops{tools]{message]"), ParsedAnswer("Yes.")),
    ],
)
def test_kimi_k3_has_tags_around_text_and_typed_arguments(
    text: str, expected: ParsedAnswer
) -> None:
    assert answer(kimi_k3.FORMAT, text) == expected


_WORDS = (" ", "\n", "assistant", "user", " to=f", " to=self", "f", '{"a": 1}', "Hm", MUSE_CALL)


@given(st.sampled_from([harmony.FORMAT, muse.FORMAT, solar.FORMAT]), st.data())
def test_no_tag_is_ever_shown(known: ToolFormat, data: st.DataObject) -> None:
    pieces = st.sampled_from((*known.tags, *_WORDS, "analysis", "final", SOLAR_CALL))
    result = answer(known, "".join(data.draw(st.lists(pieces, max_size=12))))
    assert not [tag for tag in known.tags if tag in result.content or tag in result.reasoning]


HARMONY_THOUGHT = "<|channel|>analysis<|message|>Hm.<|end|>"


@pytest.mark.parametrize(
    ("known", "text", "expected"),
    [
        (
            harmony.FORMAT,
            f"{HARMONY_THOUGHT}<|start|>assistant<|channel|>final<|message|>Yes.",
            f"{HARMONY_THOUGHT}Yes.",
        ),
        (harmony.FORMAT, "<|channel|>analysis<|message|>Hm", "<|channel|>analysis<|message|>Hm"),
        (harmony.FORMAT, "<|channel|>final<|message|>Yes.<|return|>", "Yes."),
        (
            muse.FORMAT,
            " to=self<|message|>Hm.<|eom|><|start|>assistant to=user<|message|>Yes.<|eot|>",
            " to=self<|message|>Hm.<|eom|>Yes.",
        ),
        (
            solar.FORMAT,
            "<|think|>Hm.<|end|><|begin|>assistant<|content|>Yes.<|end|>",
            "<|think|>Hm.<|end|>Yes.",
        ),
    ],
)
def test_thoughts_may_stay_in_the_text_with_their_tags(
    known: ToolFormat, text: str, expected: str
) -> None:
    answers = []
    for pieces in ([text], list(text)):
        parser = known.parser(None)
        assert isinstance(parser, MessagesParser)
        parser.keeps_thoughts = True
        events = [event for piece in pieces for event in parser.feed(piece)]
        answers.append(collect([*events, *parser.finish()]))
    assert answers == [ParsedAnswer(expected)] * 2


def test_calls_behind_thoughts_that_stay_in_the_text_are_calls() -> None:
    parser = harmony.FORMAT.parser(None)
    assert isinstance(parser, MessagesParser)
    parser.keeps_thoughts = True
    call = "<|start|>assistant<|channel|>commentary to=functions.f <|constrain|>json<|message|>"
    events = parser.feed(f'{HARMONY_THOUGHT}{call}{{"a": 1}}<|call|>')
    assert collect([*events, *parser.finish()]) == ParsedAnswer(HARMONY_THOUGHT, "", CALLED)
