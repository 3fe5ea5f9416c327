"""Owns the ways to call tools in XML of MiniMax M2, DeepSeek V3.2 and V4, and MiniCPM 5.

Pure; must not know templates beyond the words that give the formats away.
"""

from __future__ import annotations

import re
from typing import ClassVar

from app.chat.tool_formats.arguments import ANY_JSON, TEXT, Kinds
from app.chat.tool_formats.base import ToolFormat
from app.chat.tool_formats.reading import Step
from app.chat.tool_formats.tagged import TaggedParser

DSML = "\uff5cDSML\uff5c"
_MINIMAX = "<minimax:tool_call>"
_NAME = re.compile(r"[^<>\"\s]*")
_KEY = re.compile(r"[^<>\"]*")
_CDATA = "<![CDATA["
_FUNCTION = '<function name="'


class InvokeParser(TaggedParser):
    """Parses `<invoke name="…"><parameter name="…">value</parameter></invoke>`.

    DeepSeek's parameters say themselves whether they are text, and so do MiniCPM's in `CDATA`.
    See `ScriptedParser`.

    Attributes:
        call: name of the tag of a call.
        parameter: name of the tag of a parameter.
    """

    call: ClassVar[str] = "invoke"
    parameter: ClassVar[str] = "parameter"
    openers: ClassVar[tuple[str, ...]] = (_MINIMAX, '<invoke name="')
    closers: ClassVar[tuple[str, ...]] = ("</minimax:tool_call>",)

    def _block(self, opener: str) -> Step[None]:
        call = f'<{self.call} name="'
        tag = opener
        while tag and tag not in self.closers:
            if tag != call:
                yield from self._input.skip()
                yield from self._input.expect(call)
            yield from self._call()
            yield from self._input.skip()
            tag = yield from self._input.literal(call, *self.closers)

    def _call(self) -> Step[None]:
        parameter, end = f'<{self.parameter} name="', f"</{self.call}>"
        name = yield from self._input.word(_NAME)
        yield from self._input.expect('">')
        yield from self._input.skip()
        tag = yield from self._input.expect(parameter, end)
        self._begin_arguments(name)
        while tag == parameter:
            yield from self._parameter()
            yield from self._input.skip()
            tag = yield from self._input.expect(parameter, end)
        self._end_arguments()

    def _parameter(self) -> Step[None]:
        end = f"</{self.parameter}>"
        key = yield from self._input.word(_KEY)
        how = yield from self._input.expect('">', '" string="true">', '" string="false">')
        if (yield from self._input.literal(_CDATA)):
            yield from self._argument(key, "]]>", kinds=TEXT)
            yield from self._input.expect(end)
        else:
            yield from self._argument(key, end, kinds=self._kinds(how))

    def _kinds(self, how: str) -> Kinds:
        if "string" not in how:
            return None
        return TEXT if "true" in how else ANY_JSON


class DsmlParser(InvokeParser):
    """The same with a mark in each tag."""

    call = f"{DSML}invoke"
    parameter = f"{DSML}parameter"
    openers = (f"<{DSML}function_calls>", f"<{DSML}tool_calls>", f'<{DSML}invoke name="')
    closers = (f"</{DSML}function_calls>", f"</{DSML}tool_calls>")


class MiniCpmParser(InvokeParser):
    """The same with other names and nothing around the calls."""

    call = "function"
    parameter = "param"
    openers = (_FUNCTION,)
    closers = ()


MINIMAX = ToolFormat(
    name="minimax",
    tags=(_MINIMAX, "</minimax:tool_call>"),
    recognises=lambda source: _MINIMAX in source,
    parser=InvokeParser,
)
DEEPSEEK = ToolFormat(
    name="deepseek-dsml",
    tags=(DSML,),
    recognises=lambda source: DSML in source,
    parser=DsmlParser,
)
MINICPM = ToolFormat(
    name="minicpm",
    tags=(),
    recognises=lambda source: _FUNCTION in source and '<param name="' in source,
    parser=MiniCpmParser,
)
