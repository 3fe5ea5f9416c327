"""Owns the DeepSeek V3, V3.1 and R1 ways to call tools: a section of calls.

R1 and V3 write `function<sep>name` and the arguments in a code block, V3.1 `name<sep>{…}`. Their
own templates show no tools: those stand in the instructions, as V3.1's model card has them. Pure;
must not know templates beyond the words that give the formats away.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import starmap
from typing import Any

from app.chat.grammar.lark import Grammar
from app.chat.parsing.incremental import Step
from app.chat.tool_formats.base import CallBlock, MadeCalls, ToolFormat, ToolSpec
from app.chat.tool_formats.names import IN_JSON
from app.chat.tool_formats.syntax.json_blocks import headed_call
from app.chat.tool_formats.syntax.sections import SectionParser, section_block

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
    return section_block(grammar, calls, one, tags)


def _code_block(grammar: Grammar, tools: Sequence[ToolSpec], one: bool) -> CallBlock:
    tags = DeepSeekParser
    before, after = f"{tags.call}{_KIND}{tags.separator}", f"\n{_FENCE}{tags.end_call}"
    calls = [
        headed_call(grammar, tool, f"{before}{tool.name}\n{_FENCE}json\n", after) for tool in tools
    ]
    return section_block(grammar, calls, one, tags, separator="\n")


def _shown_with(call: str) -> Callable[[Sequence[Mapping[str, Any]]], str]:
    """Return what shows tools, and that calls are written as `call`."""
    tags = DeepSeekParser
    how = (
        "Write calls exactly as here, and nothing after them:\n"
        f"{tags.section}{call}{tags.end_section}\n\n"
        "`tool_call_name` is the name of a tool, `tool_call_arguments` a JSON object that fits its "
        "parameters. Several calls stand in one section, one after the other."
    )

    def show(tools: Sequence[Mapping[str, Any]]) -> str:
        described = "\n\n".join(map(_described, tools))
        return f"## Tools\nYou have access to the following tools:\n\n{described}\n\n{how}"

    return show


def _described(tool: Mapping[str, Any]) -> str:
    function = tool.get("function") or {}
    parameters = function.get("parameters") or {"type": "object", "properties": {}}
    return (
        f"### {function.get('name', '')}\n"
        f"Description: {function.get('description') or ''}\n\n"
        f"Parameters: {json.dumps(parameters, ensure_ascii=False)}"
    )


def _code_call(name: str, arguments: Any) -> str:
    tags = DeepSeekParser
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    header = f"{tags.call}function{tags.separator}{name}"
    return f"{header}\n{_FENCE}json\n{text}\n{_FENCE}{tags.end_call}"


def _write_code(calls: MadeCalls) -> str:
    listed = "\n".join(starmap(_code_call, calls))
    return f"{DeepSeekParser.section}{listed}{DeepSeekParser.end_section}"


def _plain_call(name: str, arguments: str) -> str:
    tags = DeepSeekParser
    return f"{tags.call}{name}{tags.separator}{arguments}{tags.end_call}"


def _format(
    name: str, mark: str, block: Callable[[Grammar, Sequence[ToolSpec], bool], CallBlock], call: str
) -> ToolFormat:
    tags = DeepSeekParser
    return ToolFormat(
        name=name,
        tags=(*tags.openers, tags.separator, tags.end_call, *tags.closers),
        recognises=lambda source: tags.section in source and mark in source,
        parser=DeepSeekParser,
        names=IN_JSON,
        show=_shown_with(call),
        block=block,
    )


_EXAMPLE = ("tool_call_name", "tool_call_arguments")

# In this order: the one with more marks first. V3.1's own template writes calls as they should be,
# R1's leaves out parts of them.
R1 = replace(
    _format("deepseek-r1", f"{_FENCE}json", _code_block, _code_call(*_EXAMPLE)), write=_write_code
)
V31 = _format("deepseek", DeepSeekParser.section, _block, _plain_call(*_EXAMPLE))
