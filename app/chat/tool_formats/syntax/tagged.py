"""Owns writing the JSON arguments of calls whose arguments stand one by one between tags.

Pure; must not know which tags.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import ClassVar

from app.base.json_types import without_lone_surrogates
from app.chat.parsing.incremental import Step
from app.chat.tool_formats.names import NameSyntax
from app.chat.tool_formats.syntax.arguments import Value, offered_kinds
from app.chat.tool_formats.syntax.parameters import Kinds, names_in
from app.chat.tool_formats.syntax.scripted import ScriptedParser


class TaggedParser(ScriptedParser):
    """Base of the parsers for such formats; see `ScriptedParser`.

    Attributes:
        names: how the names of arguments are written.
    """

    names: ClassVar[NameSyntax]
    calls_end_thoughts = True
    _tool = ""
    _n_arguments = 0
    _known: Sequence[str] = ()  # names of the tool's arguments

    def _begin_arguments(self, tool: str) -> None:
        self._begin(tool)
        self._tool, self._n_arguments = tool, 0
        schema = self._offered.get(tool) if isinstance(self._offered, Mapping) else None
        self._known = names_in(schema, schema)

    def _argument_name(self) -> Step[tuple[str, str]]:
        """Read the name of an argument and what follows it."""
        return (yield from self.names.read(self._input, self._known))

    def _argument(
        self,
        key: str,
        end: str,
        *,
        is_line: bool = False,
        may_be_line: bool = False,
        kinds: Kinds = None,
    ) -> Step[None]:
        """Read a value up to the tag `end`.

        Args:
            key: the argument's name.
            end: closing tag.
            is_line: see `Value`, as for the next.
            may_be_line: see there.
            kinds: the types that the value may have; by default as the tool's schema says.
        """
        name = json.dumps(without_lone_surrogates(key), ensure_ascii=False)
        self._argue(("{" if not self._n_arguments else ", ") + name + ": ")
        self._n_arguments += 1
        kinds = kinds or offered_kinds(self._offered, self._tool, key)
        value = Value(self._argue, kinds, is_line=is_line, may_be_line=may_be_line)
        yield from self._input.until(end, value.write)
        while value.in_json_string:
            value.write(end)
            yield from self._input.until(end, value.write)
        value.close()

    def _end_arguments(self) -> None:
        self._argue("}" if self._n_arguments else "{}")
        self._end()
