"""Owns the gpt-oss way to answer, "harmony": thoughts, calls and answer in messages by channel.

`<|channel|>analysis<|message|>…<|end|><|start|>assistant<|channel|>commentary to=functions.name
<|constrain|>json<|message|>{…}<|call|>`; the prompt ends with `<|start|>assistant`. Pure; must not
know templates beyond the words that give the format away.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from app.chat.grammar.lark import Grammar, sequence
from app.chat.parsing.incremental import NoCall, Step
from app.chat.parsing.reasoning_tags import ReasoningTags
from app.chat.tool_formats.base import (
    CallBlock,
    Opening,
    Place,
    ThoughtMessages,
    ToolFormat,
    ToolSpec,
)
from app.chat.tool_formats.names import IN_JSON
from app.chat.tool_formats.syntax.json_blocks import headed_call
from app.chat.tool_formats.syntax.messages import Body, MessagesParser

START = "<|start|>"
CHANNEL = "<|channel|>"
MESSAGE = "<|message|>"
_COMMENTARY = f"{CHANNEL}commentary"
_END = "<|end|>"
_END_CALL = "<|call|>"
_CONSTRAIN = "<|constrain|>"
_FOR = "to="
_ASSISTANT = "assistant"
_PEOPLE = ("", "all", "user", _ASSISTANT)  # recipients that are no tools
_WORD = re.compile(r"[\w.:/-]*")
_NAMESPACE = "functions."


class HarmonyParser(MessagesParser):
    """Parses messages by channel and recipient; see `MessagesParser`."""

    openers = (START, CHANNEL)
    closers = (_END, _END_CALL, "<|return|>")
    inner = (MESSAGE, _CONSTRAIN)
    first = _FOR
    _recipient = ""
    _role = _ASSISTANT

    def _head(self, opener: str) -> Step[Body]:
        self._role, channel, self._recipient = _ASSISTANT, "", ""
        if opener == START:
            self._role = (yield from self._input.word(_WORD)) or _ASSISTANT
        elif opener == CHANNEL:
            channel = yield from self._word()
        while True:
            yield from self._input.skip()
            tag = yield from self._input.literal(_FOR, CHANNEL, _CONSTRAIN, MESSAGE)
            if tag == MESSAGE:
                return self._kind(self._role, channel)
            if tag == _FOR:
                self._recipient = yield from self._whole_word()
            elif tag == CHANNEL:
                channel = yield from self._word()
            elif tag == _CONSTRAIN or channel:
                yield from self._word()  # the type of the content
            else:
                raise NoCall

    def _end_in_head(self) -> None:
        if self._input.is_used_up and self._kind(self._role, "") is Body.CALL:
            self._begin(self._recipient.removeprefix(_NAMESPACE))

    def _whole_word(self) -> Step[str]:
        word = yield from self._word()
        if not (yield from self._input.peek()):
            raise NoCall
        return word

    def _word(self) -> Step[str]:
        yield from self._input.skip()
        word = yield from self._input.word(_WORD)
        if not word:
            raise NoCall
        return word

    def _kind(self, role: str, channel: str) -> Body:
        if role != _ASSISTANT:
            return Body.NOTHING  # a tool's result, imagined
        if self._recipient not in _PEOPLE:
            return Body.CALL
        return Body.REASONING if channel == "analysis" else Body.TEXT

    def _block(self, opener: str) -> Step[None]:
        name = self._recipient.removeprefix(_NAMESPACE)
        yield from self._input.skip()
        if (yield from self._input.peek()) == "{":
            yield from self._named(name)
            return
        # What is no JSON goes to the client as it is, and the call does not count as complete.
        self._begin(name)
        yield from self._before(self.openers + self.closers, self._argue)


# A recipient in a head that the prompt or the model began; only tools are any to a model.
_HEADS = (
    *(f"{CHANNEL}{channel}" for channel in ("analysis", "commentary", "final")),
    f"{START}{_ASSISTANT}",
    f"{_CONSTRAIN}json",
)
_OPENINGS = (
    *(Opening(f"{head} {_FOR}", f" {_FOR}") for head in _HEADS),
    Opening(_FOR, f" {_FOR}", Place.AT_START),
)


def _block(grammar: Grammar, tools: Sequence[ToolSpec], one: bool) -> CallBlock:
    del one  # a block has one call
    # The recipient comes after the channel, as models write, or before it, as in the history.
    headers = (f" {_CONSTRAIN}json", f"{_COMMENTARY} json")
    header = grammar.either([grammar.literal(text) for text in headers])
    calls = [
        sequence(grammar.literal(tool.name), header, headed_call(grammar, tool, MESSAGE, _END_CALL))
        for tool in tools
    ]
    return CallBlock(
        f" {_FOR}{_NAMESPACE}",
        grammar.either(calls),
        between=f"{START}{_ASSISTANT}{_COMMENTARY}",
        before=_COMMENTARY,
        openings=_OPENINGS,
    )


FORMAT = ToolFormat(
    name="harmony",
    tags=(*HarmonyParser.openers, *HarmonyParser.inner, *HarmonyParser.closers),
    recognises=lambda source: CHANNEL in source and MESSAGE in source,
    parser=HarmonyParser,
    names=IN_JSON,
    block=_block,
    always=True,
    header=f"{CHANNEL}final{MESSAGE}",
    thoughts=ThoughtMessages(
        ReasoningTags(f"{CHANNEL}analysis{MESSAGE}", _END), between=f"{START}{_ASSISTANT}"
    ),
)
