"""How MiniMax M3's nested elements become JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.chat.parsing.stream_parser import CallArguments, CallStart, ParsedCall, collect, joined
from app.chat.tool_formats.xml.minimax_m3 import MARK, MiniMaxM3Parser

SCHEMAS: dict[str, Any] = {
    "f": {
        "properties": {
            "text": {"type": "string"},
            "count": {"type": "integer"},
            "list": {"type": "array", "items": {"type": "string"}},
            "note": {"type": ["string", "null"]},
            "deep": {"type": "object", "properties": {"code": {"type": "string"}}},
        }
    }
}


def marked(text: str) -> str:
    return text.replace("<", f"{MARK}<")


def call(arguments: str, *, schemas: Any = None) -> ParsedCall:
    text = marked(f'<tool_call>\n<invoke name="f">{arguments}</invoke>\n</tool_call>')
    whole, pieces = MiniMaxM3Parser(schemas), MiniMaxM3Parser(schemas)
    events = joined(whole.feed(text) + whole.finish())
    assert joined([*(e for char in text for e in pieces.feed(char)), *pieces.finish()]) == events
    (found,) = collect(events).tool_calls
    return found


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("", {}),
        ("<a>1</a><b>x</b>", {"a": 1, "b": "x"}),
        ("\n<a>1</a>\n<b> x\ny </b>\n", {"a": 1, "b": " x\ny "}),
        ("<a></a>", {"a": ""}),
        ("<a><item>1</item><item>2</item></a>", {"a": [1, 2]}),
        ("<a>\n<item>\n<b>1</b>\n<c>x</c>\n</item>\n</a>", {"a": [{"b": 1, "c": "x"}]}),
        ("<a><b><c><item>true</item></c></b></a>", {"a": {"b": {"c": [True]}}}),
    ],
)
def test_elements_become_objects_and_items_lists(written: str, expected: object) -> None:
    found = call(written)
    assert found.complete
    assert json.loads(found.arguments) == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("<text>1</text><count>1</count>", {"text": "1", "count": 1}),
        ("<list><item>1</item></list>", {"list": ["1"]}),
        ("<list></list><deep></deep>", {"list": [], "deep": {}}),
        ("<deep><code>1</code><item>2</item></deep>", {"deep": {"code": "1", "item": 2}}),
        ("<deep><item>2</item></deep>", {"deep": {"item": 2}}),
    ],
)
def test_schemas_tell_texts_from_numbers_at_any_depth(written: str, expected: object) -> None:
    assert json.loads(call(written, schemas=SCHEMAS).arguments) == expected


@pytest.mark.parametrize("key", ["text", "note"])
def test_elements_where_there_can_be_none_are_text(key: str) -> None:
    written = call(f"<{key}><b>hi</b></{key}><count>1</count>", schemas=SCHEMAS)
    assert json.loads(written.arguments) == {key: marked("<b>hi</b>"), "count": 1}


def test_texts_stream() -> None:
    parser = MiniMaxM3Parser(SCHEMAS)
    assert parser.feed(marked('<tool_call>\n<invoke name="f"><text>')) == [
        CallStart(0, "f"),
        CallArguments(0, '{"text": '),
    ]
    assert parser.feed("Hel") == [CallArguments(0, '"Hel')]
    assert parser.feed("lo]<]mini") == [CallArguments(0, "lo")]


@pytest.mark.parametrize("broken", ["<a>1", "<a>1</b>", "<a>1</a>oops", "<a>" * 5000])
def test_a_call_that_breaks_off_is_not_whole(broken: str) -> None:
    assert not call(broken).complete
