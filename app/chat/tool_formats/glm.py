"""Owns the GLM 4, Ling and Laguna way to call tools: keys and values between tags of their own.

Pure; must not know templates beyond the words that give the format away.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from app.chat.grammar import Grammar, sequence
from app.chat.tool_formats.argument_blocks import Text, in_order, value
from app.chat.tool_formats.base import CallBlock, Tool, ToolFormat
from app.chat.tool_formats.parameters import Parameter, parameters_of
from app.chat.tool_formats.reading import NoCall, Step
from app.chat.tool_formats.tagged import TaggedParser

OPEN = "<tool_call>"
CLOSE = "</tool_call>"
KEY = "<arg_key>"
_END_KEY = "</arg_key>"
_VALUE = "<arg_value>"
_END_VALUE = "</arg_value>"
_NAME = re.compile(r"[^<>{}\s\"]*")
_KEY_TEXT = re.compile(r"[^<>]*")


class GlmParser(TaggedParser):
    """Parses blocks of a name, then `<arg_key>` and `<arg_value>` in turn.

    A block with nothing but a word counts as a call where a tool of that name is offered. See
    `ScriptedParser`.
    """

    openers = (OPEN,)
    closers = (CLOSE,)

    def _block(self, opener: str) -> Step[None]:
        del opener
        yield from self._input.skip()
        name = yield from self._input.word(_NAME)
        yield from self._input.skip()
        tag = yield from self._input.expect(KEY, CLOSE)
        if tag == CLOSE and self._offered and name not in self._offered:
            raise NoCall
        self._begin_arguments(name)
        while tag == KEY:
            key = yield from self._input.word(_KEY_TEXT)
            yield from self._input.expect(_END_KEY)
            yield from self._input.skip()
            yield from self._input.expect(_VALUE)
            yield from self._argument(key.strip(), _END_VALUE)
            yield from self._input.skip()
            tag = yield from self._input.expect(KEY, CLOSE)
        self._end_arguments()


def _block(grammar: Grammar, tools: Sequence[Tool], one: bool) -> CallBlock:
    del one  # a block has one call
    # Some of the family write every tag on a line of its own, some a few, some none.
    line = grammar.rule(f"{grammar.literal(chr(10))}?")
    calls = [_call(grammar, tool, line) for tool in tools]
    body = sequence(grammar.either(calls), grammar.literal(CLOSE))
    return CallBlock(OPEN, body, between="\n")


def _call(grammar: Grammar, tool: Tool, line: str) -> str:
    def argument(parameter: Parameter) -> str:
        key = grammar.literal(f"{KEY}{parameter.name}{_END_KEY}")
        written = value(grammar, parameter, Text(_END_VALUE), is_strict=tool.is_strict)
        return sequence(key, line, grammar.literal(_VALUE), written, line)

    parameters = parameters_of(tool.parameters)
    # Ling leaves an empty line where there are no arguments.
    empty = "" if any(known.is_required for known in parameters) else line
    return sequence(grammar.literal(tool.name), line, in_order(parameters, argument), empty)


FORMAT = ToolFormat(
    name="glm",
    tags=(OPEN, CLOSE, KEY, _END_KEY, _VALUE, _END_VALUE),
    recognises=lambda source: KEY in source,
    parser=GlmParser,
    block=_block,
)
