"""Owns the Kimi K2 way to call tools: a section of calls that are known by an id.

Pure; must not know templates beyond the words that give the format away.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from app.chat.grammar.lark import Grammar, sequence
from app.chat.tool_formats.base import CallBlock, ToolFormat, ToolSpec
from app.chat.tool_formats.names import IN_JSON
from app.chat.tool_formats.syntax.json_blocks import headed_call
from app.chat.tool_formats.syntax.sections import SectionParser, section_block

_NUMBER = re.compile(r":[0-9]+$")


class KimiParser(SectionParser):
    """Parses calls with ids like `functions.name:0`; see `SectionParser`."""

    section = "<|tool_calls_section_begin|>"
    call = "<|tool_call_begin|>"
    separator = "<|tool_call_argument_begin|>"
    end_call = "<|tool_call_end|>"
    end_section = "<|tool_calls_section_end|>"
    openers = (section, call)
    closers = (end_section,)
    calls_end_thoughts = True

    def _tool_of(self, header: str) -> str:
        return _NUMBER.sub("", header.removeprefix("functions."))


def _block(grammar: Grammar, tools: Sequence[ToolSpec], one: bool) -> CallBlock:
    tags = KimiParser
    number = grammar.pattern("[0-9]{1,4}")
    calls = [
        sequence(
            grammar.literal(f"{tags.call}functions.{tool.name}:"),
            number,
            headed_call(grammar, tool, tags.separator, tags.end_call),
        )
        for tool in tools
    ]
    return section_block(grammar, calls, one, tags)


FORMAT = ToolFormat(
    name="kimi",
    tags=(*KimiParser.openers, KimiParser.separator, KimiParser.end_call, *KimiParser.closers),
    recognises=lambda source: KimiParser.section in source,
    parser=KimiParser,
    names=IN_JSON,
    block=_block,
)
