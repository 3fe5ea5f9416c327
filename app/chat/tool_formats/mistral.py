"""Owns the Mistral ways to call tools, which one parser reads.

`[TOOL_CALLS][{"name": …, "arguments": …}]`, later `[TOOL_CALLS]name[ARGS]{…}` for each call, for a
while with `[CALL_ID]` between. Pure; must not know templates beyond the words that give the
formats away.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from app.chat.grammar.lark import Grammar, sequence
from app.chat.parsing.incremental import Step
from app.chat.tool_formats.base import CallBlock, Opening, Place, ToolFormat, ToolSpec
from app.chat.tool_formats.json_lists import JsonListParser
from app.chat.tool_formats.names import IN_JSON
from app.chat.tool_formats.syntax.json_blocks import call_list, call_object, headed_call

OPEN = "[TOOL_CALLS]"
CALL_ID = "[CALL_ID]"
ARGS = "[ARGS]"
_ID = "[a-zA-Z0-9]{9}"
_WORD = re.compile(r"[\w.:/-]*")


class MistralParser(JsonListParser):
    """Parses an answer with `[TOOL_CALLS]`; see `ScriptedParser`."""

    openers = (OPEN,)

    def _block(self, opener: str) -> Step[None]:
        yield from self._input.skip()
        if (yield from self._input.peek()) in ("[", "{"):
            yield from super()._block(opener)
            return
        name = yield from self._name(_WORD)
        yield from self._input.skip()
        if (yield from self._input.literal(CALL_ID, ARGS)) == CALL_ID:
            yield from self._input.word(_WORD)
            yield from self._after_name(name, self._input.expect(ARGS))
        yield from self._named(name)


def _list_block(grammar: Grammar, tools: Sequence[ToolSpec], one: bool) -> CallBlock:
    # The history shows the calls' ids, which a model may make up or leave out.
    call_id = [grammar.literal(', "id": "'), grammar.pattern(_ID), grammar.literal('"}')]
    closing = grammar.either([grammar.literal("}"), sequence(*call_id)])
    calls = [call_object(grammar, tool, closing=closing) for tool in tools]
    listed = call_list(grammar, calls, one)
    body = sequence(grammar.literal("["), listed, grammar.literal("]"))
    return CallBlock(OPEN, body, openings=(Opening("{", f"{OPEN}[{{", Place.BEHIND),))


def _block(grammar: Grammar, tools: Sequence[ToolSpec], one: bool) -> CallBlock:
    del one  # a block has one call
    calls = [headed_call(grammar, tool, tool.name + ARGS) for tool in tools]
    return CallBlock(OPEN, grammar.either(calls))


def _call_id_block(grammar: Grammar, tools: Sequence[ToolSpec], one: bool) -> CallBlock:
    del one
    call_id = grammar.pattern(_ID)
    calls = [
        sequence(grammar.literal(tool.name + CALL_ID), call_id, headed_call(grammar, tool, ARGS))
        for tool in tools
    ]
    return CallBlock(OPEN, grammar.either(calls))


def _format(
    name: str, mark: str, block: Callable[[Grammar, Sequence[ToolSpec], bool], CallBlock]
) -> ToolFormat:
    return ToolFormat(
        name=name,
        tags=(OPEN, CALL_ID, ARGS),
        recognises=lambda source: OPEN in source and mark in source,
        parser=MistralParser,
        names=IN_JSON,
        block=block,
    )


# In this order: those with more marks first.
CALL_IDS = _format("mistral-call-id", CALL_ID, _call_id_block)
NAMED = _format("mistral", ARGS, _block)
LIST = _format("mistral-list", OPEN, _list_block)
