"""A call that is told as whole has a JSON object for arguments, whatever the answer."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from app.chat.parsing.stream_parser import ParsedCall, collect
from app.chat.tool_formats import FORMATS, ToolFormat
from tests.chat.tool_formats.test_grammars import BY_NAME, ENDS, SCHEMAS, block_of, walks
from tests.chat.tool_formats.test_tool_formats import WRITTEN

SPOILS = [
    "NaN", "-Infinity", "1e999", "01", "'", '"', "\\", "\n", "\x00", "{", "}", "[", "]", "()", ",",
    ":", "=", "null", "None", "\\ud83d", "\\udc00", "\\u", "[]", '{"a": 1}', "</parameter>", "```",
    "<tool_call>", "</tool_call>", " ", "é", "\r\n",
]  # fmt: skip


def parsed(known: ToolFormat, text: str, n_piece: int) -> list[ParsedCall]:
    parser = known.parser(SCHEMAS)
    pieces = [text[at : at + n_piece] for at in range(0, len(text), n_piece)]
    events = [event for piece in pieces for event in parser.feed(piece)]
    return collect([*events, *parser.finish()]).tool_calls


def refuse(constant: str) -> None:
    raise AssertionError(constant)


def assert_honest(known: ToolFormat, text: str) -> None:
    calls = parsed(known, text, len(text) or 1)
    assert calls == parsed(known, text, 3), text
    for call in calls:
        if call.complete:
            found: Any = json.loads(call.arguments, parse_constant=refuse)
            assert isinstance(found, dict), text
            json.dumps(found, ensure_ascii=False).encode()


def spoiled(chance: random.Random, text: str, spoils: list[str]) -> str:
    """Return a text with a few places changed: cut out, doubled, or with something put in."""
    for _ in range(chance.randint(1, 3)):
        start = chance.randrange(len(text) + 1)
        end = min(len(text), start + chance.choice([0, 0, 1, 1, 5, 20]))
        put = chance.choice([chance.choice(spoils), "", text[start:end] * 2])
        text = text[:start] + put + text[end:]
    return text[: chance.randrange(len(text) + 1)] if chance.random() < 0.2 else text


@pytest.mark.parametrize("known", FORMATS, ids=lambda known: known.name)
def test_whole_calls_have_objects_for_arguments_however_an_answer_is_spoiled(
    known: ToolFormat,
) -> None:
    texts = [WRITTEN[known.name]]
    if known.name in BY_NAME:
        block, _ = block_of(known, one=False)
        before = block.before + block.trigger
        texts += [before + text for text in walks(known.name, 3, one=False)]
    tags = [*filter(None, known.tags), *ENDS.get(known.name, ())]
    chance = random.Random(known.name)
    for _ in range(60):
        assert_honest(known, spoiled(chance, chance.choice(texts), [*SPOILS, *tags, *tags]))


@pytest.mark.parametrize("name", BY_NAME)
def test_a_call_that_is_cut_before_its_arguments_end_is_not_whole(name: str) -> None:
    known = BY_NAME[name]
    block, _ = block_of(known, one=True)
    for text in walks(name, 2, one=True):
        whole = block.before + block.trigger + text
        (call,) = parsed(known, whole, len(whole))
        for end in range(0, len(whole), max(1, len(whole) // 25)):
            for cut in parsed(known, whole[:end], end or 1):
                assert not cut.complete or json.loads(cut.arguments) == json.loads(call.arguments)
                assert cut.name == call.name
