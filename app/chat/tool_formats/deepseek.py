"""Owns the DeepSeek V3, V3.1 and R1 ways to call tools: a section of calls.

R1 and V3 write `function<sep>name` and the arguments in a code block, V3.1 `name<sep>{…}`. Pure;
must not know templates beyond the words that give the formats away.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from app.chat.grammar.lark import Grammar, sequence
from app.chat.parsing.incremental import Step
from app.chat.tool_formats.base import CallBlock, ToolFormat, ToolSpec
from app.chat.tool_formats.names import IN_JSON
from app.chat.tool_formats.syntax.json_blocks import call_list, headed_call
from app.chat.tool_formats.syntax.sections import SectionParser

_FENCE = "```"
_KIND = "function"


def _tag(words: str) -> str:
    return f"<\uff5c{words}\uff5c>"


class DeepSeekParser(SectionParser):
    """Parses both shapes; see `SectionParser`."""

    section = _tag("tool▁calls▁begin")
    call = _tag("tool▁call▁begin")
    separator = _tag("tool▁sep")
    end_call = _tag("tool▁call▁end")
    end_section = _tag("tool▁calls▁end")
    openers = (section, call)
    closers = (end_section,)

    def _call(self) -> Step[None]:
        name = yield from self._header()
        yield from self._input.expect(self.separator)
        yield from self._input.skip()
        follows = yield from self._input.peek()
        if follows == "{" or not (follows or name == _KIND):
            yield from self._named(name)
            return
        name = yield from self._header()
        yield from self._input.skip()
        yield from self._input.literal(_FENCE, _FENCE + "json")
        yield from self._named(name)
        yield from self._input.skip()
        yield from self._input.literal(_FENCE)


def _block(grammar: Grammar, tools: Sequence[ToolSpec], one: bool) -> CallBlock:
    tags = DeepSeekParser
    calls = [
        headed_call(grammar, tool, tags.call + tool.name + tags.separator, tags.end_call)
        for tool in tools
    ]
    listed = call_list(grammar, calls, one, separator="")
    return CallBlock(tags.section, sequence(listed, grammar.literal(tags.end_section)))


def _code_block(grammar: Grammar, tools: Sequence[ToolSpec], one: bool) -> CallBlock:
    tags = DeepSeekParser
    before, after = f"{tags.call}{_KIND}{tags.separator}", f"\n{_FENCE}{tags.end_call}"
    calls = [
        headed_call(grammar, tool, f"{before}{tool.name}\n{_FENCE}json\n", after) for tool in tools
    ]
    listed = call_list(grammar, calls, one, separator="\n")
    return CallBlock(tags.section, sequence(listed, grammar.literal(tags.end_section)))


def _format(
    name: str, mark: str, block: Callable[[Grammar, Sequence[ToolSpec], bool], CallBlock]
) -> ToolFormat:
    tags = DeepSeekParser
    return ToolFormat(
        name=name,
        tags=(*tags.openers, tags.separator, tags.end_call, *tags.closers),
        recognises=lambda source: tags.section in source and mark in source,
        parser=DeepSeekParser,
        names=IN_JSON,
        block=block,
    )


# In this order: the one with more marks first.
R1 = _format("deepseek-r1", f"{_FENCE}json", _code_block)
V31 = _format("deepseek", DeepSeekParser.section, _block)
