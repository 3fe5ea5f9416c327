"""Owns writing the JSON arguments of calls whose arguments stand one by one between tags.

Pure; must not know which tags.
"""

from __future__ import annotations

import json

from app.chat.parsing.incremental import NoCall, Step
from app.chat.tool_formats.syntax.arguments import Value, offered_kinds
from app.chat.tool_formats.syntax.parameters import Kinds
from app.chat.tool_formats.syntax.scripted import ScriptedParser


class TaggedParser(ScriptedParser):
    """Base of the parsers for such formats; see `ScriptedParser`."""

    _tool = ""
    _n_arguments = 0

    def _begin_arguments(self, tool: str) -> None:
        self._begin(tool)
        self._tool, self._n_arguments = tool, 0

    def _argument(
        self, key: str, end: str, *, is_line: bool = False, kinds: Kinds = None
    ) -> Step[None]:
        """Read a value up to the tag `end`.

        Args:
            key: the argument's name.
            end: closing tag.
            is_line: see `Value`.
            kinds: the types that the value may have; by default as the tool's schema says.
        """
        if not key:
            raise NoCall
        name = json.dumps(key.encode("utf-8", "replace").decode(), ensure_ascii=False)
        self._argue(("{" if not self._n_arguments else ", ") + name + ": ")
        self._n_arguments += 1
        kinds = kinds or offered_kinds(self._offered, self._tool, key)
        value = Value(self._argue, kinds, is_line=is_line)
        yield from self._input.until(end, value.write)
        while value.in_json_string:
            value.write(end)
            yield from self._input.until(end, value.write)
        value.close()

    def _end_arguments(self) -> None:
        self._argue("}" if self._n_arguments else "{}")
        self._end()
