"""Owns what formats share whose answers are messages, each with a head that says what it is.

The prompt ends within the first head. Pure; must not know any format.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from enum import Enum, auto
from typing import ClassVar

from app.chat.parsing.incremental import NoCall, Step, any_of, n_held
from app.chat.parsing.stream_parser import ReasoningPiece
from app.chat.parsing.unfinished import begins_tag
from app.chat.tool_formats.syntax.scripted import ScriptedParser


class Body(Enum):
    """What a message holds."""

    TEXT = auto()
    REASONING = auto()
    CALL = auto()
    NOTHING = auto()  # that anyone is to see


class MessagesParser(ScriptedParser):
    """Parses an answer of messages.

    Text outside of messages is text, as is that of an answer without any. Tags are never shown;
    a head that breaks off is not either. See `ScriptedParser`.

    Attributes:
        openers: begin a message's head.
        closers: end a message.
        inner: further tags that stand in heads.
        first: words that the head may begin with which the prompt ends in.
        keeps_thoughts: thoughts stay in the text, with the tags around them.
    """

    inner: ClassVar[tuple[str, ...]] = ()
    first: ClassVar[str] = ""
    keeps_thoughts = False
    _is_thinking = False

    @property
    def in_reasoning(self) -> bool:
        """Whether what comes next is thought."""
        return self._is_thinking

    @property
    def _all_tags(self) -> tuple[str, ...]:
        return self.openers + self.closers + self.inner

    def _run(self) -> Step[None]:
        yield from self._message("")
        while opener := (yield from self._outside()):
            yield from self._message(opener)

    def _outside(self) -> Step[str]:
        """Pass text on up to the next head, and return its opening tag; empty at the end."""
        while True:
            tag = yield from self._before(self._all_tags, self._say)
            self._input.take(len(tag))
            if not tag or tag in self.openers:
                return tag

    def _message(self, opener: str) -> Step[None]:
        self._input.record("".join(self._space) + opener)
        self._space = []
        try:
            body = yield from self._head(opener)
        except NoCall:
            self._say_untagged(self._input.forget())
            with suppress(NoCall):
                self._end_in_head()
            return
        head = self._input.forget()
        if body is Body.REASONING and self.keeps_thoughts:
            yield from self._kept(head)
            return
        if body is Body.CALL:
            yield from self._calls()
            yield from self._before(self.openers + self.closers, _drop)
        else:
            yield from self._text_of(body)
        self._is_thinking = False
        self._just_after_block = True
        yield from self._input.literal(*self.closers)

    def _kept(self, head: str) -> Step[None]:
        """Read a message of thoughts as text, from its head to its end."""
        self._say(head)
        self._is_thinking = True
        yield from self._before(self.openers + self.closers, self._say)
        self._is_thinking = False
        self._say((yield from self._input.literal(*self.closers)))

    def _text_of(self, body: Body) -> Step[None]:
        sink = {Body.TEXT: self._say, Body.REASONING: self._think}.get(body, _drop)
        self._is_thinking = body is Body.REASONING
        self._just_after_block = self._just_after_block and body is not Body.TEXT
        while (tag := (yield from self._before(self._all_tags, sink))) in self.inner:
            self._input.take(len(tag))

    def _head(self, opener: str) -> Step[Body]:
        """Read the head after `opener`, which is empty for the head that the prompt began.

        Raises:
            NoCall: it is none.
        """
        raise NotImplementedError

    def _end_in_head(self) -> None:
        """Begin the call whose head the answer ends in, if its name is whole."""

    def _calls(self) -> Step[None]:
        """Read the body of a message with calls; what is left of it is dropped."""
        with suppress(NoCall):
            yield from self._block("")

    def _think(self, text: str) -> None:
        if text:
            self._events.append(ReasoningPiece(text))

    def _say_untagged(self, text: str) -> None:
        tags = any_of(self._all_tags)
        is_cut_head = self._input.is_used_up and self._ends_in_head(text)
        if not (is_cut_head or (self._input.over and tags.search(text))):
            self._say(tags.sub("", text))

    def _ends_in_head(self, text: str) -> bool:
        """Return whether an answer of which nothing else is left ends in the head that it began."""
        n_part = n_held(text, self._all_tags)
        part = text[len(text) - n_part :]
        if begins_tag(part, is_cut=self._is_cut, has_said=self._has_said):
            return True
        return bool(self.first) and (
            text.lstrip().startswith(self.first)
            or (self._is_cut and f" {self.first}".startswith(text.rstrip() or "-"))
        )

    def _before(self, tags: tuple[str, ...], sink: Callable[[str], None]) -> Step[str]:
        """Give `sink` what comes before the first of `tags`; return that, not yet read."""
        while True:
            rest = self._input.rest
            found = any_of(tags).search(rest)
            held = n_held(rest, tags)
            sink(self._input.take(found.start() if found else len(rest) - held))
            if found:
                return found[0]
            if not (yield from self._input.more()):
                self._end_with(self._input.take(held), sink)
                return ""


def _drop(text: str) -> None:
    del text
