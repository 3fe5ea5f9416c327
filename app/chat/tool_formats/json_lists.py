"""Owns the formats that write calls as JSON objects in a list, and differ in the tags around it.

Pure; must not know templates beyond the words that give a format away.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import starmap
from typing import ClassVar

from app.chat.grammar.lark import Grammar, sequence
from app.chat.parsing.incremental import Step
from app.chat.parsing.json_value import SPACE
from app.chat.tool_formats.base import CallBlock, MadeCalls, Opening, Place, ToolFormat, ToolSpec
from app.chat.tool_formats.names import IN_JSON
from app.chat.tool_formats.syntax.json_blocks import call_list, call_object
from app.chat.tool_formats.syntax.json_call import JsonCallReader, call_text
from app.chat.tool_formats.syntax.scripted import ScriptedParser

_FENCE = "```"


class JsonListParser(ScriptedParser):
    """Parses blocks of call objects, `[{…}, {…}]`, or one after the other without brackets.

    A missing closing tag or bracket is forgiven.
    """

    name_key: ClassVar[str] = "name"

    def _block(self, opener: str) -> Step[None]:
        del opener
        yield from self._objects()
        yield from self._input.literal(*self.closers)

    def _objects(self) -> Step[None]:
        yield from self._input.skip()
        yield from self._input.literal("[")
        while True:
            yield from self._object(self._reader())
            yield from self._input.skip(SPACE + ",;]}")
            if (yield from self._input.peek()) != "{":
                return

    def _reader(self) -> JsonCallReader:
        return JsonCallReader(self._n_calls, name_key=self.name_key)


class _PipeParser(JsonListParser):
    openers = ("<|tool_call|>",)
    closers = ("<|/tool_call|>",)


class _ToolcallParser(JsonListParser):
    openers = ("<TOOLCALL>",)
    closers = ("</TOOLCALL>",)


class _ToolCallsParser(JsonListParser):
    openers = ("<tool_calls>",)
    closers = ("</tool_calls>",)


class _FunctoolsParser(JsonListParser):
    openers = ("functools[",)


class _FunctionCallParser(JsonListParser):
    openers = ("<|function_call|>",)


class _CommandParser(JsonListParser):
    openers = ("<|START_ACTION|>",)
    closers = ("<|END_ACTION|>",)
    name_key = "tool_name"


class _ActionParser(JsonListParser):
    openers = ("Action:",)
    name_key = "tool_name"

    def _block(self, opener: str) -> Step[None]:
        del opener
        yield from self._input.skip()
        yield from self._input.expect(_FENCE, _FENCE + "json")
        yield from self._objects()
        yield from self._input.literal(_FENCE)


class _RoleParser(JsonListParser):
    """A call is a message with a role of its own."""

    openers = ("function call<|role_sep|>", "<|message_sep|>")

    def _block(self, opener: str) -> Step[None]:
        call, end = self.openers
        if opener == end:
            yield from self._input.skip()
            if not (yield from self._input.literal(call)):
                return
        yield from super()._block(call)


Block = Callable[[Grammar, Sequence[ToolSpec], bool], CallBlock]


def _listed(trigger: str, before: str, after: str, separator: str = ", ") -> Block:
    """Return what writes blocks of calls between texts, with `separator` between calls."""

    ends = after.strip() != "]"

    def block(grammar: Grammar, tools: Sequence[ToolSpec], one: bool) -> CallBlock:
        calls = [call_object(grammar, tool) for tool in tools]
        listed = call_list(grammar, calls, one, separator=separator)
        opening = grammar.literal(before) if before else ""
        openings = () if ends else (_further(trigger + before),)
        return CallBlock(
            trigger, sequence(opening, listed, grammar.literal(after)), openings=openings
        )

    return block


def _further(before: str) -> Opening:
    """Return what begins another call behind those of a block that no tag ends.

    Args:
        before: what such a block has before its first call.
    """
    return Opening("{", before + "{", Place.BEHIND)


def _gigachat_block(grammar: Grammar, tools: Sequence[ToolSpec], one: bool) -> CallBlock:
    del one  # a block has one call
    calls = [call_object(grammar, tool) for tool in tools]
    opener = _FunctionCallParser.openers[0]
    return CallBlock(opener, grammar.either(calls), openings=(_further(opener),))


def _role_block(grammar: Grammar, tools: Sequence[ToolSpec], one: bool) -> CallBlock:
    del one
    calls = grammar.either([call_object(grammar, tool) for tool in tools])
    call, end = _RoleParser.openers
    message = f"{end}\n\n"
    body = sequence(grammar.literal("\n"), calls)
    openings = (_further(f"{call}\n"),)
    return CallBlock(call, body, between=message, before=message, openings=openings)


def _command_block(grammar: Grammar, tools: Sequence[ToolSpec], one: bool) -> CallBlock:
    start = sequence(grammar.literal('{"tool_call_id": "'), grammar.pattern("[0-9]{1,4}"))
    keys = {"name_key": "tool_name", "arguments_key": "parameters"}
    calls = [sequence(start, call_object(grammar, tool, opening='", ', **keys)) for tool in tools]
    listed = call_list(grammar, calls, one, separator=",\n    ")
    after = grammar.literal("\n]" + _CommandParser.closers[0])
    body = sequence(grammar.literal("[\n    "), listed, after)
    return CallBlock(_CommandParser.openers[0], body)


def _format(name: str, parser: type[JsonListParser], block: Block, mark: str = "") -> ToolFormat:
    opener = parser.openers[0]
    return ToolFormat(
        name=name,
        tags=parser.openers + parser.closers,
        recognises=lambda source: (mark or opener) in source,
        parser=parser,
        names=IN_JSON,
        block=block,
    )


def _write_pipe(calls: MadeCalls) -> str:
    return f"{_PipeParser.openers[0]}[{', '.join(starmap(call_text, calls))}]"


# Granite 3 and Phi-4-mini write the same, but for the closing tag; Phi's template shows tools
# and leaves it to the training how they are called.
PHI = _format("phi", _PipeParser, _listed("<|tool_call|>", "[", "]<|/tool_call|>"), "<|/tool|>")
GRANITE = replace(
    _format("granite", _PipeParser, _listed("<|tool_call|>", "[", "]")), write=_write_pipe
)
NEMOTRON = _format("nemotron", _ToolcallParser, _listed("<TOOLCALL>", "[", "]</TOOLCALL>"))
# Apriel writes a list, MiniMax M1 a call a line.
TOOL_CALLS = _format(
    "tool-calls", _ToolCallsParser, _listed("<tool_calls>", "[", "]</tool_calls>"), "<tool_calls>["
)
TOOL_CALL_LINES = _format(
    "tool-call-lines", _ToolCallsParser, _listed("<tool_calls>", "\n", "\n</tool_calls>", "\n")
)
FIREFUNCTION = _format("firefunction", _FunctoolsParser, _listed("functools[", "", "]"))
GIGACHAT = _format("gigachat", _FunctionCallParser, _gigachat_block)
COMMAND_R7B = _format("command-r7b", _CommandParser, _command_block)
GIGACHAT3 = ToolFormat(
    name="gigachat3",
    tags=("<|role_sep|>", "<|message_sep|>"),
    recognises=lambda source: "'function call'" in source and "<|role_sep|>" in source,
    parser=_RoleParser,
    names=IN_JSON,
    block=_role_block,
)
# Not held to the offered tools: it calls `directly-answer` in order to call none.
COMMAND_R = ToolFormat(
    name="command-r",
    tags=(),
    recognises=lambda source: "Action:" in source and '"tool_name": title of' in source,
    parser=_ActionParser,
    names=IN_JSON,
)
