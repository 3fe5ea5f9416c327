"""Owns the GLM 4, Ling, Laguna and Hunyuan 3 way to call tools: keys and values between tags.

Pure; must not know templates beyond the words that give the format away.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar

from app.chat.grammar.lark import Grammar, sequence
from app.chat.parsing.incremental import NoCall, Step
from app.chat.tool_formats.base import CallBlock, Opening, ToolFormat, ToolSpec
from app.chat.tool_formats.names import NameSyntax
from app.chat.tool_formats.syntax.argument_blocks import TextSyntax, in_order, value
from app.chat.tool_formats.syntax.json_blocks import call_list
from app.chat.tool_formats.syntax.parameters import Parameter, parameters_of
from app.chat.tool_formats.syntax.tagged import TaggedParser

OPEN = "<tool_call>"
CLOSE = "</tool_call>"
KEY = "<arg_key>"
_NAME = re.compile(r"[^<>{}\s\"]*")


def _names(mark: str = "") -> NameSyntax:
    return NameSyntax(f"<arg_key{mark}>", (f"</arg_key{mark}>",), re.compile(r"[^<>]*"))


class GlmParser(TaggedParser):
    """Parses blocks of a name, then `<arg_key>` and `<arg_value>` in turn.

    A block with nothing but a word counts as a call where a tool of that name is offered. See
    `ScriptedParser`.

    Attributes:
        mark: stands at the end of each tag's name.
    """

    mark: ClassVar[str] = ""
    openers: ClassVar[tuple[str, ...]] = (OPEN,)
    closers: ClassVar[tuple[str, ...]] = (CLOSE,)
    names: ClassVar[NameSyntax] = _names()

    def _block(self, opener: str) -> Step[None]:
        del opener
        key_tag, close = self.names.before, self._tag("/tool_call")
        yield from self._input.skip()
        name = yield from self._name(_NAME)
        separated = yield from self._input.literal(self._tag("tool_sep"))
        yield from self._input.skip()
        tag = yield from self._after_name(name, self._input.expect(key_tag, close))
        if tag == close and not separated and self._offered and name not in self._offered:
            raise NoCall
        self._begin_arguments(name)
        while tag == key_tag:
            key, _ = yield from self._argument_name()
            yield from self._input.skip()
            yield from self._input.expect(self._tag("arg_value"))
            yield from self._argument(key, self._tag("/arg_value"))
            yield from self._input.skip()
            tag = yield from self._input.expect(key_tag, close)
        self._end_arguments()

    def _tag(self, name: str) -> str:
        return f"<{name}{self.mark}>"


class HunyuanParser(GlmParser):
    """The same with a mark in each tag, a separator after the name, and a section of calls."""

    mark = ":opensource"
    openers = (f"<tool_calls{mark}>", f"<tool_call{mark}>")
    closers = (f"</tool_calls{mark}>",)
    names = _names(mark)

    def _block(self, opener: str) -> Step[None]:
        section, call = self.openers
        if opener == section:
            yield from self._input.skip()
            yield from self._input.expect(call)
        tag = call
        while tag == call:
            yield from super()._block(call)
            yield from self._input.skip()
            tag = yield from self._input.literal(call, *self.closers)


def _tags(mark: str, *names: str) -> tuple[str, ...]:
    return tuple(f"<{end}{name}{mark}>" for name in names for end in ("", "/"))


def _block(grammar: Grammar, tools: Sequence[ToolSpec], one: bool) -> CallBlock:
    del one  # a block has one call
    # Some of the family write every tag on a line of its own, some a few, some none.
    line = grammar.rule(f"{grammar.literal(chr(10))}?")
    calls = []
    for tool in tools:
        parameters, arguments = _arguments(grammar, tool, GlmParser, line)
        # Ling leaves an empty line where there are no arguments.
        empty = "" if any(known.is_required for known in parameters) else line
        calls.append(sequence(grammar.literal(tool.name), line, arguments, empty))
    body = sequence(grammar.either(calls), grammar.literal(CLOSE))
    return CallBlock(OPEN, body, between="\n")


def _hunyuan_block(grammar: Grammar, tools: Sequence[ToolSpec], one: bool) -> CallBlock:
    mark, line = HunyuanParser.mark, grammar.literal("\n")
    calls = []
    for tool in tools:
        header = grammar.literal(f"<tool_call{mark}>{tool.name}<tool_sep{mark}>\n")
        _, arguments = _arguments(grammar, tool, HunyuanParser, line)
        calls.append(sequence(header, arguments, grammar.literal(f"</tool_call{mark}>\n")))
    listed = call_list(grammar, calls, one, separator="")
    body = sequence(line, listed, grammar.literal(HunyuanParser.closers[0]))
    section, call = HunyuanParser.openers
    return CallBlock(section, body, openings=(Opening(call, f"{section}\n{call}"),))


def _arguments(
    grammar: Grammar, tool: ToolSpec, read_by: type[GlmParser], line: str
) -> tuple[list[Parameter], str]:
    """Return the parameters of `tool` and the expression for its arguments, with `line` between."""

    mark = read_by.mark

    def argument(parameter: Parameter) -> str:
        key = grammar.literal(read_by.names.written(parameter.name))
        how = TextSyntax(f"</arg_value{mark}>")
        written = value(grammar, parameter, how, is_strict=tool.is_strict)
        return sequence(key, line, grammar.literal(f"<arg_value{mark}>"), written, line)

    parameters = parameters_of(tool.parameters, is_strict=tool.is_strict)
    return parameters, in_order(parameters, argument)


FORMAT = ToolFormat(
    name="glm",
    tags=_tags("", "tool_call", "arg_key", "arg_value"),
    recognises=lambda source: KEY in source,
    parser=GlmParser,
    names=GlmParser.names,
    block=_block,
)
HUNYUAN = ToolFormat(
    name="hunyuan",
    tags=(
        *_tags(HunyuanParser.mark, "tool_calls", "tool_call", "arg_key", "arg_value"),
        f"<tool_sep{HunyuanParser.mark}>",
    ),
    recognises=lambda source: "<tool_sep{}>" in source and HunyuanParser.mark in source,
    parser=HunyuanParser,
    names=HunyuanParser.names,
    block=_hunyuan_block,
)
