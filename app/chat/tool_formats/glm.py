"""Owns the GLM 4, Ling and Laguna way to call tools: keys and values between tags of their own.

Pure; must not know templates beyond the words that give the format away.
"""

from __future__ import annotations

import re

from app.chat.tool_formats.base import ToolFormat
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


FORMAT = ToolFormat(
    name="glm",
    tags=(OPEN, CLOSE, KEY, _END_KEY, _VALUE, _END_VALUE),
    recognises=lambda source: KEY in source,
    parser=GlmParser,
)
