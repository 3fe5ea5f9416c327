"""Owns the Solar Open way to answer: thoughts, calls and answer in messages of three kinds.

`<|think|>…<|end|><|begin|>assistant<|content|>…<|end|>`; the prompt ends with `<|begin|>assistant`.
Pure; must not know templates beyond the words that give the format away.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from app.chat.grammar.lark import Grammar, sequence
from app.chat.parsing.incremental import NoCall, Step
from app.chat.parsing.reasoning_tags import ReasoningTags
from app.chat.tool_formats.base import CallBlock, ThoughtMessages, ToolFormat, ToolSpec
from app.chat.tool_formats.names import IN_JSON
from app.chat.tool_formats.syntax.json_blocks import call_list, headed_call
from app.chat.tool_formats.syntax.messages import Body, MessagesParser

BEGIN = "<|begin|>"
_CALLS = "<|tool_calls|>"
_END_CALLS = "<|calls|>"
_THINK, _CONTENT = "<|think|>", "<|content|>"
_CALL = "<|tool_call:begin|>"
_TOOL = "<|tool_call:name|>"
_ARGUMENTS = "<|tool_call:args|>"
_END_CALL = "<|tool_call:end|>"
_BODIES = {_THINK: Body.REASONING, _CONTENT: Body.TEXT, _CALLS: Body.CALL}
_END = "<|end|>"
_NEXT = f"{BEGIN}assistant"
_WORD = re.compile(r"[^<>\s]*")


class SolarParser(MessagesParser):
    """Parses messages of thoughts, content or calls; see `MessagesParser`."""

    openers = (BEGIN, *_BODIES)
    closers = (_END, _END_CALLS)
    inner = (_CALL, _TOOL, _ARGUMENTS, _END_CALL)

    def _head(self, opener: str) -> Step[Body]:
        if opener in _BODIES:
            return _BODIES[opener]
        if opener:
            yield from self._input.word(_WORD)  # the role
        yield from self._input.skip()
        return _BODIES[(yield from self._input.expect(*_BODIES))]

    def _block(self, opener: str) -> Step[None]:
        del opener
        yield from self._input.skip()
        while (yield from self._input.literal(_CALL)):
            yield from self._input.word(_WORD)  # an id of the model's own
            yield from self._input.expect(_TOOL)
            name = yield from self._name(_WORD)
            if not name:
                raise NoCall
            yield from self._after_name(name, self._input.expect(_ARGUMENTS))
            yield from self._named(name)
            yield from self._input.skip()
            yield from self._input.literal(_END_CALL)
            yield from self._input.skip()


def _block(grammar: Grammar, tools: Sequence[ToolSpec], one: bool) -> CallBlock:
    call_id = sequence(grammar.literal(_CALL), grammar.pattern("[a-zA-Z0-9_-]{1,64}"))
    calls = [
        sequence(call_id, headed_call(grammar, tool, f"{_TOOL}{tool.name}{_ARGUMENTS}", _END_CALL))
        for tool in tools
    ]
    listed = call_list(grammar, calls, one, separator="")
    return CallBlock(_CALLS, sequence(listed, grammar.literal(_END_CALLS)), between=_NEXT)


FORMAT = ToolFormat(
    name="solar",
    tags=(*SolarParser.openers, *SolarParser.closers, *SolarParser.inner),
    recognises=lambda source: _CALL in source,
    parser=SolarParser,
    names=IN_JSON,
    block=_block,
    always=True,
    header=_CONTENT,
    thoughts=ThoughtMessages(ReasoningTags(_THINK, _END), between=_NEXT),
)
