"""Owns the Qwen3-Coder, Qwen3.5, Nemotron 3 and Seed way to call tools: functions in XML.

Pure; must not know templates beyond the words that give the format away.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import ClassVar

from app.chat.grammar.lark import Grammar, sequence
from app.chat.grammar.string_limits import ANY
from app.chat.parsing.incremental import Step
from app.chat.tool_formats.base import CallBlock, Opening, ToolFormat, ToolSpec
from app.chat.tool_formats.names import NameSyntax
from app.chat.tool_formats.syntax.argument_blocks import TextSyntax, in_order, value
from app.chat.tool_formats.syntax.parameters import Parameter, parameters_of
from app.chat.tool_formats.syntax.tagged import TaggedParser

FUNCTION = "<function="
_NAMES = NameSyntax("<parameter=", (">",), re.compile(r"[^<>\n]*"))
PARAMETER = _NAMES.before
_END_PARAMETER = "</parameter>"
_END_FUNCTION = "</function>"
_SEED = "<seed:tool_call>"
_NAME = re.compile(r"[^<>\s]*")


class XmlFunctionsParser(TaggedParser):
    """Parses blocks of `<function=name><parameter=key>value</parameter></function>`.

    Missing tags around the function are forgiven. See `ScriptedParser`.
    """

    openers: ClassVar[tuple[str, ...]] = ("<tool_call>", FUNCTION)
    closers: ClassVar[tuple[str, ...]] = ("</tool_call>",)
    names = _NAMES
    is_line: ClassVar[bool] = True  # values stand on lines of their own, not only some of them

    def _block(self, opener: str) -> Step[None]:
        tag = opener
        while tag not in self.closers:
            if tag != FUNCTION:
                yield from self._input.skip()
                yield from self._input.expect(FUNCTION)
            yield from self._function()
            yield from self._input.skip()
            tag = yield from self._input.literal(FUNCTION, *self.closers)
            if not tag:
                return

    def _function(self) -> Step[None]:
        name = yield from self._input.word(_NAME)
        yield from self._input.expect(">")
        yield from self._input.skip()
        tag = yield from self._after_name(name, self._input.expect(PARAMETER, _END_FUNCTION))
        self._begin_arguments(name)
        while tag == PARAMETER:
            key, _ = yield from self._argument_name()
            is_line = self.is_line
            yield from self._argument(key, _END_PARAMETER, is_line=is_line, may_be_line=not is_line)
            yield from self._input.skip()
            tag = yield from self._input.expect(PARAMETER, _END_FUNCTION)
        self._end_arguments()


class _SeedParser(XmlFunctionsParser):
    openers = (_SEED, FUNCTION)
    closers = ("</seed:tool_call>",)
    is_line = False


# Models are held to JSON for lists and objects, where Seed's template shows them as Python does.
_ON_LINES = TextSyntax(
    f"\n{_END_PARAMETER}\n", stop=_END_PARAMETER, read_as_written=rf"(?:{ANY}[^\r])?"
)
# What is read takes line breaks on both sides of a value for lines of their own.
_INLINE = TextSyntax(
    f"{_END_PARAMETER}\n",
    stop=_END_PARAMETER,
    read_as_written=rf"(?:[^\r\n]{ANY})?|{ANY}[^\n]",
)


def _block_in(
    opener: str, closer: str, how: TextSyntax
) -> Callable[[Grammar, Sequence[ToolSpec], bool], CallBlock]:
    def block(grammar: Grammar, tools: Sequence[ToolSpec], one: bool) -> CallBlock:
        del one  # a block has one call
        calls = grammar.either([_call(grammar, tool, how) for tool in tools])
        body = sequence(
            grammar.literal(f"\n{FUNCTION}"), calls, grammar.literal(f"{_END_FUNCTION}\n{closer}")
        )
        openings = (Opening(FUNCTION, f"{opener}\n{FUNCTION}"),)
        return CallBlock(opener, body, between="\n", openings=openings)

    return block


def _call(grammar: Grammar, tool: ToolSpec, how: TextSyntax) -> str:
    line = "\n" if how.end.startswith("\n") else ""

    def argument(parameter: Parameter) -> str:
        written = value(grammar, parameter, how, is_strict=tool.is_strict, python_words=True)
        return sequence(grammar.literal(_NAMES.written(parameter.name) + line), written)

    arguments = in_order(parameters_of(tool.parameters, is_strict=tool.is_strict), argument)
    return sequence(grammar.literal(f"{tool.name}>\n"), arguments)


FORMAT = ToolFormat(
    name="xml-functions",
    tags=("<tool_call>", "</tool_call>"),
    recognises=lambda source: FUNCTION in source and PARAMETER in source,
    parser=XmlFunctionsParser,
    names=_NAMES,
    block=_block_in("<tool_call>", "</tool_call>", _ON_LINES),
)
SEED = ToolFormat(
    name="seed",
    tags=(_SEED, "</seed:tool_call>"),
    recognises=lambda source: _SEED in source,
    parser=_SeedParser,
    names=_NAMES,
    block=_block_in(_SEED, "</seed:tool_call>", _INLINE),
)
