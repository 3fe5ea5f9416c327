"""Owns the Apertus way to call tools: a list of objects with the tool's name as their only key.

Pure; must not know templates beyond the words that give the format away.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from app.chat.grammar.lark import Grammar, sequence
from app.chat.parsing.incremental import NoCall, Step
from app.chat.parsing.json_value import SPACE
from app.chat.tool_formats.base import CallBlock, ToolFormat, ToolSpec
from app.chat.tool_formats.names import IN_JSON
from app.chat.tool_formats.syntax.json_blocks import call_list, headed_call
from app.chat.tool_formats.syntax.scripted import ScriptedParser

OPEN = "<|tools_prefix|>"
CLOSE = "<|tools_suffix|>"


class ApertusParser(ScriptedParser):
    """Parses blocks of `[{"name": {…}}, …]`; see `ScriptedParser`."""

    openers = (OPEN,)
    closers = (CLOSE,)

    def _block(self, opener: str) -> Step[None]:
        del opener
        yield from self._input.skip()
        yield from self._input.literal("[")
        yield from self._input.skip()
        while True:
            yield from self._input.expect("{")
            yield from self._call()
            yield from self._input.skip(SPACE + ",}")
            if (yield from self._input.peek()) != "{":
                break
        yield from self._input.literal("]")
        yield from self._input.skip()
        yield from self._input.literal(CLOSE)

    def _call(self) -> Step[None]:
        yield from self._input.skip()
        if (yield from self._input.peek()) != '"':
            raise NoCall
        pieces: list[str] = []
        yield from self._input.json_value(pieces.append)
        yield from self._input.skip()
        yield from self._input.expect(":")
        yield from self._named(_name("".join(pieces)))


def _name(json_text: str) -> str:
    try:
        name = str(json.loads(json_text))
    except ValueError:
        raise NoCall from None
    return name.strip().encode("utf-8", "replace").decode()


def _block(grammar: Grammar, tools: Sequence[ToolSpec], one: bool) -> CallBlock:
    calls = [headed_call(grammar, tool, f"{{{json.dumps(tool.name)}: ", "}") for tool in tools]
    listed = call_list(grammar, calls, one)
    return CallBlock(OPEN, sequence(grammar.literal("["), listed, grammar.literal(f"]{CLOSE}")))


FORMAT = ToolFormat(
    name="apertus",
    tags=(OPEN, CLOSE),
    recognises=lambda source: OPEN in source,
    parser=ApertusParser,
    names=IN_JSON,
    block=_block,
)
