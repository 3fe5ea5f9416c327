"""Owns what an answer says, however it is written; must not know prompts or tokens."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

from app.base.json_types import plain_json
from app.chat.parsing.stream_parser import StreamEvent, StreamParser, collect

_PIECE_CHARS = 4096


@dataclass(frozen=True, slots=True)
class Meaning:
    """What an answer says.

    Args:
        content: without the whitespace around it.
        reasoning: without the whitespace around it.
        calls: name, arguments in one way to write JSON, and whether the call is complete.
    """

    content: str
    reasoning: str
    calls: tuple[tuple[str, str, bool], ...]


def meaning_of(text: str, parser: StreamParser) -> Meaning:
    """Return what the answer `text` says.

    Args:
        text: an answer with the tags of the model's tool format.
        parser: a fresh one. It should take any name for a call (`ToolFormat.parser(None)`):
            history may hold calls of tools that are offered no longer.
    """
    events: list[StreamEvent] = []
    for start in range(0, len(text), _PIECE_CHARS):  # parsers copy what they have not read yet
        events += parser.feed(text[start : start + _PIECE_CHARS])
    events += parser.finish()
    answer = collect(events)
    calls = [
        (call.name, _canonical_json(call.arguments), call.complete) for call in answer.tool_calls
    ]
    return Meaning(answer.content.strip(), answer.reasoning.strip(), tuple(calls))


def _canonical_json(json_text: str) -> str:
    """Return JSON in canonical form; what is not plain JSON stays as it is.

    Key order, whitespace and escapes do not matter, and 1.0 is 1; true is not. Prompts show half
    a surrogate pair as U+FFFD, so it is that here.
    """
    try:
        value = json.loads(
            json_text, object_pairs_hook=_object, parse_float=_number, parse_constant=_number
        )
        return json.dumps(plain_json(value), sort_keys=True)
    except (ValueError, RecursionError):
        return json_text


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key comes twice")
    return found


def _number(text: str) -> int | float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("no finite number")
    return int(number) if number.is_integer() else number
