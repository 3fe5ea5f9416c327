"""Owns what formats share that write calls in one section, each as a header and a JSON object.

Pure; must not know any format.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar

from app.chat.grammar.lark import Grammar, sequence
from app.chat.parsing.incremental import NoCall, Step
from app.chat.tool_formats.base import CallBlock, Opening
from app.chat.tool_formats.syntax.json_blocks import call_list
from app.chat.tool_formats.syntax.scripted import ScriptedParser

_HEADER = re.compile(r"[^<>\n{}\[\]`]*")


class SectionParser(ScriptedParser):
    """Parses a section of calls, or calls without one; see `ScriptedParser`.

    Attributes:
        section: opens the section.
        call: opens a call and its header.
        separator: stands between header and arguments.
        end_call: stands after the arguments.
        end_section: closes the section.
    """

    section: ClassVar[str]
    call: ClassVar[str]
    separator: ClassVar[str]
    end_call: ClassVar[str]
    end_section: ClassVar[str]

    def _block(self, opener: str) -> Step[None]:
        if opener != self.call:
            yield from self._input.skip()
            yield from self._input.expect(self.call)
        tag = self.call
        while tag == self.call:
            yield from self._call()
            yield from self._input.skip()
            yield from self._input.literal(self.end_call)
            yield from self._input.skip()
            tag = yield from self._input.literal(self.call, self.end_section)

    def _call(self) -> Step[None]:
        header = yield from self._header()
        name = self._tool_of(header)
        yield from self._after_name(name, self._input.expect(self.separator))
        yield from self._named(name)

    def _header(self) -> Step[str]:
        header = (yield from self._name(_HEADER)).strip()
        if not header:
            raise NoCall
        return header

    def _tool_of(self, header: str) -> str:
        return header


def section_block(
    grammar: Grammar,
    calls: Sequence[str],
    one: bool,
    tags: type[SectionParser],
    *,
    separator: str = "",
) -> CallBlock:
    """Return a section of `calls`, which a call may begin too; see `call_list`."""
    listed = call_list(grammar, calls, one, separator=separator)
    return CallBlock(
        tags.section,
        sequence(listed, grammar.literal(tags.end_section)),
        openings=(Opening(tags.call, tags.section + tags.call),),
    )
