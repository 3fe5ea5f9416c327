"""Owns the formats that write calls as JSON objects in a list, and differ in the tags around it.

Pure; must not know templates beyond the words that give a format away.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import starmap
from typing import ClassVar

from app.chat.tool_formats.base import Made, ToolFormat
from app.chat.tool_formats.json_call import JsonCallReader, call_text
from app.chat.tool_formats.json_value import SPACE
from app.chat.tool_formats.reading import Step
from app.chat.tool_formats.scripted import ScriptedParser

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


def _format(name: str, parser: type[JsonListParser], mark: str = "") -> ToolFormat:
    marks = (parser.openers[0], mark or parser.openers[0])
    return ToolFormat(
        name=name,
        tags=parser.openers + parser.closers,
        recognises=lambda source: any(known in source for known in marks),
        parser=parser,
    )


def _write_pipe(calls: Made) -> str:
    return f"{_PipeParser.openers[0]}[{', '.join(starmap(call_text, calls))}]"


# Granite 3 and Phi-4-mini write the same, but for the closing tag; Phi's template shows tools
# and leaves it to the training how they are called.
PIPE = replace(_format("granite-phi", _PipeParser, "<|/tool|>"), write=_write_pipe)
NEMOTRON = _format("nemotron", _ToolcallParser)
TOOL_CALLS = _format("tool-calls", _ToolCallsParser)
FIREFUNCTION = _format("firefunction", _FunctoolsParser)
GIGACHAT = _format("gigachat", _FunctionCallParser)
GIGACHAT3 = ToolFormat(
    name="gigachat3",
    tags=("<|role_sep|>", "<|message_sep|>"),
    recognises=lambda source: "'function call'" in source and "<|role_sep|>" in source,
    parser=_RoleParser,
)
COMMAND_R = ToolFormat(
    name="command-r",
    tags=(),
    recognises=lambda source: "Action:" in source and '"tool_name": title of' in source,
    parser=_ActionParser,
)
COMMAND_R7B = _format("command-r7b", _CommandParser)
