"""Owns the Mistral way to call tools, in both shapes.

`[TOOL_CALLS][{"name": …, "arguments": …}]`, later `[TOOL_CALLS]name[ARGS]{…}` for each call. Pure;
must not know templates beyond the word that gives the format away.
"""

from __future__ import annotations

import re

from app.chat.tool_formats.base import ToolFormat
from app.chat.tool_formats.json_lists import JsonListParser
from app.chat.tool_formats.reading import Step

OPEN = "[TOOL_CALLS]"
CALL_ID = "[CALL_ID]"
ARGS = "[ARGS]"
_WORD = re.compile(r"[\w.:/-]*")


class MistralParser(JsonListParser):
    """Parses an answer with `[TOOL_CALLS]`; see `ScriptedParser`."""

    openers = (OPEN,)

    def _block(self, opener: str) -> Step[None]:
        yield from self._input.skip()
        if (yield from self._input.peek()) in ("[", "{"):
            yield from super()._block(opener)
            return
        name = yield from self._input.word(_WORD)
        yield from self._input.skip()
        if (yield from self._input.literal(CALL_ID, ARGS)) == CALL_ID:
            yield from self._input.word(_WORD)
            yield from self._input.expect(ARGS)
        yield from self._named(name)


FORMAT = ToolFormat(
    name="mistral",
    tags=(OPEN, CALL_ID, ARGS),
    recognises=lambda source: OPEN in source,
    parser=MistralParser,
)
