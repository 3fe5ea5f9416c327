"""Calls that a limit or a stop string cuts leave no mark-up behind, in any format.

Each format's calls are cut behind every character, and read whole and character by character.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial

import pytest

from app.chat.parsing.either_parser import EitherParser
from app.chat.parsing.stream_parser import ParsedAnswer, collect, joined
from app.chat.parsing.wrappers import RequiredCallsParser
from app.chat.tool_formats import ToolFormat, deepseek
from app.chat.tools_as_text import GENERIC
from tests.chat.tool_formats.test_tool_formats import BY_NAME, WRITTEN

OFFERED = {"set_led": {"properties": {"a": {"type": "integer"}}}, "get_it": {}}
EITHER = replace(
    GENERIC,
    name="deepseek or generic",
    parser=lambda offered: EitherParser(
        partial(deepseek.V31.parser, offered), partial(GENERIC.parser, offered)
    ),
)
FORMATS = {**BY_NAME, GENERIC.name: GENERIC, EITHER.name: EITHER}
BEFORE = "Let me look."
# Their calls begin with words, or with JSON that may be an answer.
BEGUN_LIKE_TEXT = {"firefunction": "functools", "command-r": "Action", "gigachat3": ""}
BARE = {
    "llama": '{"name": "set_led", "parameters": {"a": 1}}',
    "functionary-v3.2": 'set_led\n{"a": 1}\n>>>get_it\n{"b": "x"}',
}


def written(name: str) -> str:
    """Return two calls as the format's models write them, of tools with longer names."""
    text = WRITTEN[{GENERIC.name: "hermes", EITHER.name: "deepseek"}.get(name, name)]
    for short, long in (("f", "set_led"), ("g", "get_it")):
        text = re.sub(rf"(?<!\w){short}(?!\w)", long, text)
    return text


def read(known: ToolFormat, text: str, *, cut: bool = True, required: bool = False) -> ParsedAnswer:
    answers = []
    is_slow = len(text) > 30 and len(text) % 5  # reads of single characters add up
    for pieces in ([text], [text[:-9], text[-9:]] if is_slow else list(text)):
        parser = known.parser(OFFERED)
        if required:
            parser = RequiredCallsParser(parser)
        events = [event for piece in pieces for event in parser.feed(piece)]
        answers.append(collect(joined([*events, *parser.finish(cut=cut)])))
    assert answers[0] == answers[1]
    return answers[0]


def assert_begun(name: str, answer: ParsedAnswer, text: str) -> None:
    """Check that the calls of `text` are told as far as they are written, and no further."""
    n_more = 12 if name.startswith("deepseek") else {"kimi": 3}.get(name, 1)  # what ends a name
    n_written = 2 if name == "muse" else 1  # its recipient comes first, which is no name
    names = [call.name for call in answer.tool_calls]
    assert names == ["set_led", "get_it"][: len(names)]
    assert all(called in text for called in names)
    if text.count("set_led") >= n_written and len(text.rpartition("set_led")[2]) > n_more:
        assert names
    for call in answer.tool_calls[:-1]:
        assert call.complete


every_format = pytest.mark.parametrize("name", FORMATS)


@every_format
@pytest.mark.parametrize("bare", [False, True])
def test_a_required_call_has_no_content_wherever_it_is_cut(name: str, bare: bool) -> None:
    if bare and name not in BARE:
        pytest.skip("all calls of the format have a tag")
    text = BARE[name] if bare else written(name)
    for end in range(len(text) + 1):
        answer = read(FORMATS[name], text[:end], required=True)
        assert not answer.content
        assert_begun(name, answer, text[:end])


@every_format
def test_a_call_has_no_content_wherever_it_is_cut(name: str) -> None:
    text = written(name)
    for end in range(len(text) + 1):
        answer = read(FORMATS[name], text[:end])
        assert answer.content.strip() in BEGUN_LIKE_TEXT.get(name, "")
        assert_begun(name, answer, text[:end])


@every_format
def test_text_before_a_call_that_is_cut_is_kept_and_no_more(name: str) -> None:
    text = written(name)
    first = text.lstrip()[0]
    allowed = BEGUN_LIKE_TEXT.get(name, "")
    for end in [*range(12), *range(12, len(text) + 1, 5)]:
        rest = read(FORMATS[name], f"{BEFORE}\n\n{text[:end]}").content.removeprefix(BEFORE)
        assert rest.strip() in (first, "") or rest.strip() in allowed, rest


@every_format
def test_a_block_in_which_an_answer_ends_by_itself_leaves_no_opening_tag(name: str) -> None:
    known, text = FORMATS[name], written(name)
    openers = getattr(known.parser, "openers", ("<tool_call>", *deepseek.DeepSeekParser.openers))
    for end in [*range(12), *range(12, len(text) + 1, 5)]:
        content = read(known, text[:end], cut=False).content
        assert not [tag for tag in openers if tag in content]


@pytest.mark.parametrize(
    ("name", "text", "arguments"),
    [
        ("llama", '{"name": "set_led"', ""),
        ("llama", '{"name": "set_led", "parameters": {"a"', '{"a"'),
        ("functionary-v3.2", "set_led\n", ""),
        ("lfm2", "<|tool_call_start|>[set_led(", ""),
        ("lfm2", "<|tool_call_start|>[set_led(a", ""),
        ("lfm2", "<|tool_call_start|>[set_led(a=", '{"a": '),
        ("xml-functions", "<tool_call>\n<function=set_led>\n<param", ""),
        ("glm", "<tool_call>set_led\n<arg_k", ""),
        ("minimax", '<minimax:tool_call>\n<invoke name="set_led">\n', ""),
        ("mistral", "[TOOL_CALLS]set_led[AR", ""),
        ("deepseek-r1", WRITTEN["deepseek"].split("f<")[0] + "set_led<\uff5ctool▁sep\uff5c>", ""),
        ("harmony", "<|channel|>commentary to=functions.set_led <|const", ""),
        ("harmony", " to=functions.set_led<|channel|>comm", ""),
        ("kimi", WRITTEN["kimi"].split("f:")[0] + "set_led:0<|tool_call_argument_begin|>", ""),
    ],
)
def test_a_call_with_a_whole_name_is_told_as_begun(name: str, text: str, arguments: str) -> None:
    (call,) = read(BY_NAME[name], text).tool_calls
    assert (call.name, call.arguments, call.complete) == ("set_led", arguments, False)


@every_format
@pytest.mark.parametrize(
    "text",
    [
        "if a <",
        "a[",
        "so {",
        'Sure:\n```json\n{"name": "x',
        "```python\nprint(f(",
        "f",
        "A",
        "Well [1",
        '{"answer": [1',
        "x >",
    ],
)
def test_text_that_is_cut_is_not_lost(name: str, text: str) -> None:
    assert read(FORMATS[name], text).content == text


def test_json_that_may_be_an_answer_is_one_until_it_has_a_tools_name() -> None:
    for text in ("{", '{"name', '{"name": "Bo', '{"na": "set'):
        assert read(BY_NAME["llama"], text).content == text
    for text in ('{"name": "', '{"name": "set', '{"name": "set_led'):
        assert read(BY_NAME["llama"], text) == ParsedAnswer()


def test_a_recipient_that_is_cut_is_no_text() -> None:
    for text in ("al", "all", "set_l", "set_led"):
        assert read(BY_NAME["functionary-v3.2"], text) == ParsedAnswer()
        assert read(BY_NAME["functionary-v3.2"], text, cut=False).content == text
    assert read(BY_NAME["functionary-v3.2"], "Hello").content == "Hello"
    assert read(BY_NAME["harmony"], " to=functions.set_l") == ParsedAnswer()
    assert read(BY_NAME["harmony"], "to be") == ParsedAnswer("to be")
