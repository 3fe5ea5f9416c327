"""Owns the Functionary ways to call tools: v3.1 in tags, v3.2 by the recipient of each part.

Pure; must not know templates beyond the words that give the formats away.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from app.chat.grammar.lark import Grammar
from app.chat.parsing.incremental import NoCall, Step
from app.chat.tool_formats.base import CallBlock, Opening, Place, ToolFormat, ToolSpec
from app.chat.tool_formats.names import IN_JSON
from app.chat.tool_formats.syntax.json_blocks import headed_call
from app.chat.tool_formats.syntax.scripted import ScriptedParser

FUNCTION = "<function="
_END = "</function>"
_PYTHON_TAG = "<|python_tag|>"
RECIPIENT = ">>>"
_USER = "all"
_PYTHON = "python"
_NAME = re.compile(r"[\w.-]*")


class FunctionaryParser(ScriptedParser):
    """Parses `<function=name>{…}</function>`; see `ScriptedParser`.

    `<|python_tag|>` begins a call of `python`, or stands before a function.
    """

    openers = (FUNCTION, _PYTHON_TAG)
    closers = (_END,)

    def _block(self, opener: str) -> Step[None]:
        if opener == _PYTHON_TAG:
            opener = yield from self._input.literal(FUNCTION)
        name = _PYTHON
        if opener:
            name = yield from self._input.word(_NAME)
            yield from self._input.expect(">")
        yield from self._named(name)
        yield from self._input.skip()
        yield from self._input.literal(_END)


class RecipientParser(ScriptedParser):
    """Parses `>>>name` and a line break, then `{…}`, or text for the recipient `all`.

    The prompt ends with the first `>>>`. See `ScriptedParser`.
    """

    openers = (RECIPIENT,)

    def _run(self) -> Step[None]:
        yield from self._try_block("")
        yield from super()._run()

    def _block(self, opener: str) -> Step[None]:
        del opener
        name = yield from self._input.word(_NAME)
        yield from self._input.expect("\n", "\r\n")
        if name != _USER:
            if self._offered is not None and name not in self._offered:
                raise NoCall
            if self._offered is None:
                yield from self._input.skip()
                yield from self._expect_next("{")
            yield from self._named(name)

    def _begins_untagged(self, body: str) -> bool:
        known = (_USER, *(self._offered or ()))
        return self._is_cut and any(f"{name}\n".startswith(body) for name in known)


def _block(grammar: Grammar, tools: Sequence[ToolSpec], one: bool) -> CallBlock:
    del one  # a block has one call
    calls = [headed_call(grammar, tool, f"{tool.name}>", _END) for tool in tools]
    has_python = any(tool.name == _PYTHON for tool in tools)
    opening = Opening(_PYTHON_TAG, f"{FUNCTION}{_PYTHON}>" if has_python else "")
    return CallBlock(FUNCTION, grammar.either(calls), openings=(opening,))


def _recipient_block(grammar: Grammar, tools: Sequence[ToolSpec], one: bool) -> CallBlock:
    del one
    calls = [headed_call(grammar, tool, f"{tool.name}\n") for tool in tools]
    openings = tuple(
        Opening(f"{tool.name}{line}", f"{RECIPIENT}{tool.name}\n", Place.AT_START)
        for tool in tools
        for line in ("\n", "\r\n")
    )
    return CallBlock(RECIPIENT, grammar.either(calls), is_begun=True, openings=openings)


V31 = ToolFormat(
    name="functionary-v3.1",
    tags=(_PYTHON_TAG,),
    recognises=lambda source: FUNCTION in source and _PYTHON_TAG in source,
    parser=FunctionaryParser,
    names=IN_JSON,
    block=_block,
)
V32 = ToolFormat(
    name="functionary-v3.2",
    tags=(),
    recognises=lambda source: ">>>${recipient}" in source,
    parser=RecipientParser,
    names=IN_JSON,
    taken=frozenset({_USER}),
    block=_recipient_block,
    always=True,
    header=f"{_USER}\n",
)
