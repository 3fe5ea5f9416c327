"""Whatever tools and arguments are called, a call is read as grammar and template write it.

Covers `app.chat.tool_formats.refusal`.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from app.chat.parsing.stream_parser import collect
from app.chat.tool_formats import FORMATS, detect
from app.chat.tool_formats.base import ToolSpec
from app.chat.tool_formats.refusal import refusal
from app.errors import TemplateRefused
from tests.chat.tool_formats.odd_names import NAMES, nested, values
from tests.chat.tool_formats.test_grammars import BY_NAME, block_of, calls_in, vocabulary
from tests.chat.tool_formats.test_of_templates import EXPECTED, PATHS, written_by

TOOL_NAMES = [
    "f", "1", "-", ".", "_", "get.all-types_1", "functions", "function", "functions.f", "python",
    "None", "json", "commentary", "assistant", "all", "user", "self", "tools", "name", "type",
    "directly_answer", "tool_call", "END_ACTION", "x" * 128,
]  # fmt: skip
every_format = pytest.mark.parametrize("name", BY_NAME)


def read_back(name: str, tools: list[ToolSpec], *, tokens: bool = False) -> list[tuple[str, Any]]:
    """Return the calls that are read of what the grammar writes."""
    known = BY_NAME[name]
    words = vocabulary(name, tokens)
    block, grammar = block_of(known, one=True, has_tokens=tokens, tools=tools)
    text = words.shortest(words.matcher(grammar), random.Random(name))
    calls = calls_in(known, block.before + block.trigger + text, tools)
    assert all(call.complete for call in calls), text
    return [(call.name, json.loads(call.arguments)) for call in calls]


@every_format
@pytest.mark.parametrize("tokens", [False, True])
def test_a_call_with_odd_names_is_read_as_the_grammar_admits_it(name: str, tokens: bool) -> None:
    tool = ToolSpec("get", nested())
    assert refusal(BY_NAME[name], tool) is None
    assert read_back(name, [tool], tokens=tokens) == [("get", values())]


@every_format
def test_a_call_that_is_cut_within_an_odd_name_is_begun_and_shows_no_mark_up(name: str) -> None:
    known = BY_NAME[name]
    tools = [ToolSpec("get", nested(["Issue Type", "f(x)", "a:b", "<b>"]))]
    words = vocabulary(name, False)
    block, grammar = block_of(known, one=True, tools=tools)
    opening = block.before + block.trigger
    text = opening + words.shortest(words.matcher(grammar), random.Random(name))
    for end in range(len(opening), len(text), 3):
        parser = known.parser({"get": tools[0].parameters})
        answer = collect([*parser.feed(text[:end]), *parser.finish(cut=True)])
        assert answer.content == "", text[:end]
        for call in answer.tool_calls:
            assert call.name == "get"
            assert not call.complete or json.loads(call.arguments)["<b>"] == "v3"


@every_format
def test_an_argument_without_a_name_has_a_value(name: str) -> None:
    schema = {"type": "object", "properties": {"": {"enum": ["v"]}}, "required": [""]}
    assert read_back(name, [ToolSpec("get", schema)]) == [("get", {"": "v"})]


@every_format
def test_a_tool_is_known_by_its_name_or_refused(name: str) -> None:
    schema = {"type": "object", "properties": {"a": {"enum": ["v"]}}, "required": ["a"]}
    for tool in (ToolSpec(text, schema) for text in TOOL_NAMES):
        if refusal(BY_NAME[name], tool) is None:
            assert read_back(name, [tool]) == [(tool.name, {"a": "v"})]


def test_names_of_tools_that_mean_something_else_are_refused() -> None:
    refused = {
        (known.name, text)
        for known in FORMATS
        for text in TOOL_NAMES
        if refusal(known, ToolSpec(text, {})) is not None
    }
    assert refused == {("muse", "user"), ("muse", "self"), ("functionary-v3.2", "all")}


@pytest.mark.parametrize("known", FORMATS, ids=lambda known: known.name)
def test_names_that_cannot_be_told_apart_are_refused(known: Any) -> None:
    if not known.names.ends:
        return  # they are JSON
    first = known.names.ends[0]
    unclear = {"type": "object", "properties": {"a": {}, f"a{first}b": {}}}
    if known.names.escapes:
        assert refusal(known, ToolSpec("get", unclear)) is None
        return
    assert refusal(known, ToolSpec("get", unclear)) == (
        "parameters",
        f"a tool with an argument named {f'a{first}b'!r} cannot be called in the tool format "
        f"{known.name}",
    )
    deep = {"type": "object", "properties": {"x": {"type": "array", "items": unclear}}}
    assert (refusal(known, ToolSpec("get", deep)) is not None) == (known.names.n_nested > 0)


# ---------------------------------------------------------------- what templates write

FLAT = {"type": "object", "properties": {name: {"type": "string"} for name in NAMES}}


@pytest.mark.parametrize(
    "path", [path for path in PATHS if EXPECTED.get(path.stem)], ids=lambda path: path.stem
)
def test_a_call_with_odd_names_is_read_as_the_template_shows_it(path: Path) -> None:
    known = detect(path.read_text())
    assert known is not None
    # Command-R's template indents JSON, and takes U+2028 in it for the end of a line.
    names = [name for name in NAMES if known.name != "command-r" or name != "\u2028"]
    arguments = {name: f"v{at}" for at, name in enumerate(names)}
    function = {"name": "get_weather", "description": "Weather.", "parameters": FLAT}
    try:
        text = written_by(path.read_text(), known, [function], [("get_weather", arguments)])
    except TemplateRefused as error:
        pytest.skip(f"no such conversation: {error}")
    for n_piece in (len(text), 7):
        pieces = (text[at : at + n_piece] for at in range(0, len(text), n_piece))
        parser = known.parser({"get_weather": FLAT})
        events = [event for piece in pieces for event in parser.feed(piece)]
        (call,) = collect([*events, *parser.finish()]).tool_calls
        assert call.complete
        assert json.loads(call.arguments) == arguments
