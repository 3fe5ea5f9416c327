"""Owns the Qwen3-Coder, Qwen3.5, Nemotron 3 and Seed way to call tools: functions in XML.

Pure; must not know templates beyond the words that give the format away.
"""

from __future__ import annotations

import re
from typing import ClassVar

from app.chat.tool_formats.base import ToolFormat
from app.chat.tool_formats.reading import Step
from app.chat.tool_formats.tagged import TaggedParser

FUNCTION = "<function="
PARAMETER = "<parameter="
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
        name = yield from self._name_and_bracket()
        tag = yield from self._input.expect(PARAMETER, _END_FUNCTION)
        self._begin_arguments(name)
        while tag == PARAMETER:
            key = yield from self._input.word(_NAME)
            yield from self._input.expect(">")
            yield from self._argument(key, _END_PARAMETER, is_line=True)
            yield from self._input.skip()
            tag = yield from self._input.expect(PARAMETER, _END_FUNCTION)
        self._end_arguments()

    def _name_and_bracket(self) -> Step[str]:
        name = yield from self._input.word(_NAME)
        yield from self._input.expect(">")
        yield from self._input.skip()
        return name


class _SeedParser(XmlFunctionsParser):
    openers = (_SEED, FUNCTION)
    closers = ("</seed:tool_call>",)


FORMAT = ToolFormat(
    name="xml-functions",
    tags=("<tool_call>", "</tool_call>"),
    recognises=lambda source: FUNCTION in source and PARAMETER in source,
    parser=XmlFunctionsParser,
)
SEED = ToolFormat(
    name="seed",
    tags=(_SEED, "</seed:tool_call>"),
    recognises=lambda source: _SEED in source,
    parser=_SeedParser,
)
