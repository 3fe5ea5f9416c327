"""Owns what all formats with marked calls share: text around calls, numbering, giving back.

Pure; must not know any format. A format's parser says which tags open and close a block of calls
and reads one block in the order in which the model writes it (see `reading`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import ClassVar, Self, TypeVar

from app.chat.parsing.call_arguments import ArgumentsText
from app.chat.parsing.incremental import Input, NoCall, Step, any_of, n_held
from app.chat.parsing.stream_parser import (
    CallArguments,
    CallEnd,
    CallStart,
    StreamEvent,
    TextPiece,
    joined,
)
from app.chat.parsing.unfinished import begins_call, begins_tag
from app.chat.tool_formats.base import OfferedTools
from app.chat.tool_formats.syntax.json_call import JsonCallReader, Progress

T = TypeVar("T")

_PIECE_CHARS = 4096  # reads copy what arrived and was not read yet


class ScriptedParser:
    """Parses an answer with blocks of tool calls.

    Text is passed on at once, but for what may become a tag and the whitespace before it. A block
    that holds no call is passed on as text, tags included; a call that breaks off after its name
    was read, or whose arguments are no JSON object, ends without `CallEnd`, and what is left of its
    block is dropped. So is a block that nothing contradicts where the answer ends within it.

    Args:
        offered: the tools.

    Attributes:
        openers: begin a block.
        closers: end one.
        calls_end_thoughts: whether the family calls in the midst of its thoughts.
    """

    openers: ClassVar[tuple[str, ...]] = ()
    closers: ClassVar[tuple[str, ...]] = ()
    calls_end_thoughts = False

    def __init__(self, offered: OfferedTools = None) -> None:
        self._offered = offered
        self._input = Input()
        self._events: list[StreamEvent] = []
        self._space: list[str] = []  # whitespace that belongs to a tag, if one follows
        self._just_after_block = False
        self._has_said = False
        self._is_cut = False
        self._n_calls = 0
        self._arguments = ArgumentsText()
        self._script = self._run()
        self._resume()

    @property
    def call_openers(self) -> tuple[str, ...]:
        """The tags that begin calls, wherever in an answer they stand."""
        return self.openers

    def offers(self, name: str, /) -> bool:
        """Return whether a tool of this name may be called."""
        return not self._offered or name in self._offered

    def fresh(self) -> Self:
        """Return a parser of the same kind that has read nothing."""
        return type(self)(self._offered)

    def feed(self, text: str, /) -> list[StreamEvent]:
        """Return the events that `text` makes certain."""
        for start in range(0, len(text), _PIECE_CHARS):
            self._input.add(text[start : start + _PIECE_CHARS])
            self._resume()
        return self._taken()

    def finish(self, *, cut: bool = False) -> list[StreamEvent]:
        """Return what was held back and is no beginning of a call."""
        self._is_cut = cut
        self._input.over = True
        self._resume()
        if not self._just_after_block:
            self._events.append(TextPiece("".join(self._space)))
        self._space = []
        return self._taken()

    def _resume(self) -> None:
        next(self._script, None)

    def _taken(self) -> list[StreamEvent]:
        events, self._events = joined(self._events), []
        return [event for event in events if event != TextPiece("")]

    # ------------------------------------------------------------ the answer

    def _run(self) -> Step[None]:
        while opener := (yield from self._text()):
            yield from self._try_block(opener)

    def _text(self) -> Step[str]:
        """Pass text on up to the next opening tag, and return that; empty at the end."""
        while True:
            rest = self._input.rest
            found = any_of(self.openers).search(rest)
            held = n_held(rest, self.openers)
            self._say(self._input.take(found.start() if found else len(rest) - held))
            if found:
                return self._input.take(len(found[0]))
            if not (yield from self._input.more()):
                self._end_with(self._input.take(held), self._say)
                return ""

    def _end_with(self, part: str, sink: Callable[[str], None]) -> None:
        """Give `sink` the beginning of a tag that the answer ends with, unless it becomes one."""
        begins = begins_tag(part, is_cut=self._is_cut, has_said=self._has_said)
        if not part or self._just_after_block or begins:
            self._space = [] if part else self._space
        else:
            sink(part)

    def _say(self, text: str) -> None:
        shown = text.rstrip()
        if not shown:
            self._space.append(text)
            return
        whole = "".join(self._space) + shown
        self._space = [text[len(shown) :]]
        if self._just_after_block:
            self._just_after_block = False
            whole = whole.removeprefix("\r").removeprefix("\n")
        self._has_said = True
        self._events.append(TextPiece(whole))

    def _try_block(self, opener: str) -> Step[None]:
        self._input.record("".join(self._space) + opener)
        self._space = []
        n_before = self._n_calls
        try:
            yield from self._block(opener)
        except NoCall:
            if self._n_calls == n_before:
                written = self._input.forget()
                if not self._ends_in_call(opener, written):
                    self._say(written)
                    return
            else:
                yield from self._drop_block()
        self._input.forget()
        self._just_after_block = True

    def _ends_in_call(self, opener: str, written: str) -> bool:
        """Return whether what was `written` of a block without a call is the answer's cut end."""
        if not self._input.is_used_up:
            return False
        body = written.lstrip().removeprefix(opener)
        if not opener:
            return self._begins_untagged(body)
        return begins_call(body, is_cut=self._is_cut, mentions=self._has_said and not self._n_calls)

    def _begins_untagged(self, body: str) -> bool:
        """Return whether a block that came without a tag is surely a call."""
        del body
        return False

    def _block(self, opener: str) -> Step[None]:
        """Read what follows `opener`.

        Raises:
            NoCall: it is no call; what was read is given back unless a call has begun.
        """
        raise NotImplementedError

    def _drop_block(self) -> Step[None]:
        tags = self.openers + self.closers
        while True:
            rest = self._input.rest
            found = any_of(tags).search(rest) if tags else None
            if found:
                closes = found[0] in self.closers
                self._input.take(found.end() if closes else found.start())
                return
            self._input.take(len(rest) - n_held(rest, tags))
            if not (yield from self._input.more()):
                self._input.take(len(self._input.rest))
                return

    # ------------------------------------------------------------ calls

    def _begin(self, name: str) -> None:
        if not name:
            raise NoCall
        self._put(CallStart(self._n_calls, name))
        self._arguments = ArgumentsText()

    def _argue(self, json_text: str) -> None:
        if strict := self._arguments.take(json_text):
            self._put(CallArguments(self._n_calls - 1, strict))

    def _end(self) -> None:
        if self._arguments.are_whole:
            self._put(CallEnd(self._n_calls - 1))

    def _put(self, event: StreamEvent) -> None:
        if isinstance(event, CallStart):
            self._n_calls += 1
            self._input.forget()
        self._events.append(event)

    def _name(self, allowed: re.Pattern[str]) -> Step[str]:
        """Read the name of a tool.

        Raises:
            NoCall: the answer ends with it, so that it may not be whole.
        """
        name = yield from self._input.word(allowed)
        if not (yield from self._input.peek()):
            raise NoCall
        return name

    def _after_name(self, name: str, read: Step[T]) -> Step[T]:
        """Read what follows a name that is whole; an answer that ends there has begun the call."""
        try:
            return (yield from read)
        except NoCall:
            if self._input.is_used_up:
                self._begin(name)
            raise

    def _named(self, name: str) -> Step[None]:
        """Read the arguments of `name`, a JSON object."""
        yield from self._input.skip()
        yield from self._after_name(name, self._expect_next("{"))
        self._begin(name)
        yield from self._input.json_value(self._argue)
        self._end()

    def _expect_next(self, char: str) -> Step[None]:
        if (yield from self._input.peek()) != char:
            raise NoCall

    def _object(self, reader: JsonCallReader) -> Step[None]:
        """Read a call that is a JSON object with its name and arguments."""
        while True:
            rest = self._input.rest
            events, left = reader.feed(rest)
            self._input.take(len(rest) - len(left))
            self._put_all(events)
            if reader.progress is not Progress.READING:
                break
            if not (yield from self._input.more()):
                self._put_all(reader.finish())
                break
        if reader.progress is not Progress.COMPLETE:
            raise NoCall

    def _put_all(self, events: list[StreamEvent]) -> None:
        for event in events:
            self._put(event)
