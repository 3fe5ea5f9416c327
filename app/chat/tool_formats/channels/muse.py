"""Owns the Muse Glimmer way to answer: messages by recipient, calls in XML in those to tools.

` to=self<|message|>…<|eom|><|start|>assistant to=name<|message|><atem:function_calls>…<|eot|>`; the
prompt ends with `<|start|>assistant`. Pure; must not know templates beyond the words that give the
format away.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from app.chat.grammar.lark import Grammar, sequence
from app.chat.parsing.incremental import NoCall, Step
from app.chat.parsing.reasoning_tags import ReasoningTags
from app.chat.tool_formats.base import CallBlock, Opening, ThoughtMessages, ToolFormat, ToolSpec
from app.chat.tool_formats.syntax.messages import Body, MessagesParser
from app.chat.tool_formats.xml.invoke import InvokeParser, invoke_call, parameter_names

START = "<|start|>"
MESSAGE = "<|message|>"
_MARK = "atem:"
_CALLS = f"<{_MARK}function_calls>"
_END_CALLS = f"</{_MARK}function_calls>"
_END = "<|eom|>"
_FOR = "to="
_ASSISTANT = "assistant"
_BODIES = {"": Body.TEXT, "user": Body.TEXT, "self": Body.REASONING}
_WORD = re.compile(r"[\w.:/-]*")


class MuseParser(MessagesParser, InvokeParser):
    """Parses messages by recipient; see `MessagesParser`."""

    call = f"{_MARK}invoke"
    parameter = f"{_MARK}parameter"
    names = parameter_names(parameter)
    openers = (START,)
    closers = (_END, "<|eot|>")
    inner = (MESSAGE,)
    first = _FOR

    def _head(self, opener: str) -> Step[Body]:
        role = (yield from self._input.word(_WORD)) if opener else _ASSISTANT
        recipient = ""
        while True:
            yield from self._input.skip()
            tag = yield from self._input.literal(_FOR, MESSAGE)
            if tag == MESSAGE:
                is_own = role in ("", _ASSISTANT)
                return _BODIES.get(recipient, Body.CALL) if is_own else Body.NOTHING
            word = yield from self._input.word(_WORD)
            if not word or (not tag and role in ("", _ASSISTANT)):
                raise NoCall
            recipient = word if tag else recipient

    def _block(self, opener: str) -> Step[None]:
        yield from self._input.skip()
        yield from self._input.literal(_CALLS)
        yield from super()._block(opener or _CALLS)


def _block(grammar: Grammar, tools: Sequence[ToolSpec], one: bool) -> CallBlock:
    del one  # a block has one call
    calls = [invoke_call(grammar, tool, _MARK) for tool in tools]
    body = sequence(grammar.literal("\n"), grammar.either(calls), grammar.literal(_END_CALLS))
    # The recipient is written before the tool is chosen; readers go by the name in the call.
    before = f" {_FOR}{tools[0].name if len(tools) == 1 else 'tools'}"
    between = f"{_END}{START}{_ASSISTANT}{before}"
    # A message begins with its calls: those that a text or thought quotes are none.
    trigger, invoke = f"{MESSAGE}{_CALLS}", f'<{_MARK}invoke name="'
    openings = [Opening(f"{MESSAGE}\n{_CALLS}", trigger)]
    openings += [Opening(f"{MESSAGE}{line}{invoke}", f"{trigger}\n{invoke}") for line in ("", "\n")]
    return CallBlock(trigger, body, between=between, before=before, openings=tuple(openings))


FORMAT = ToolFormat(
    name="muse",
    tags=(START, MESSAGE, *MuseParser.closers),
    recognises=lambda source: f"<{MuseParser.call} " in source and MESSAGE in source,
    parser=MuseParser,
    names=MuseParser.names,
    taken=frozenset(filter(None, _BODIES)),
    block=_block,
    always=True,
    header=f" {_FOR}user{MESSAGE}",
    thoughts=ThoughtMessages(
        ReasoningTags(f" {_FOR}self{MESSAGE}", _END),
        between=f"{START}{_ASSISTANT}",
    ),
)
