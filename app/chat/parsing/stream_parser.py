"""Owns the events that a model's answer is parsed into, and the parser for plain answers.

Pure: text in, events out; must not know any tool format. Feeding an answer in any pieces gives
the same events once neighbours are joined (`joined`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class TextPiece:
    """A piece of what the user reads."""

    text: str


@dataclass(frozen=True, slots=True)
class ReasoningPiece:
    """A piece of what the model thought before it answered."""

    text: str


@dataclass(frozen=True, slots=True)
class CallStart:
    """A tool call began; `index` counts the calls of one answer from 0."""

    index: int
    name: str


@dataclass(frozen=True, slots=True)
class CallArguments:
    """A piece of the JSON text of a call's arguments."""

    index: int
    json_text: str


@dataclass(frozen=True, slots=True)
class CallEnd:
    """The call's arguments are whole; missing for a call that was cut off."""

    index: int


StreamEvent = TextPiece | ReasoningPiece | CallStart | CallArguments | CallEnd


class StreamParser(Protocol):
    """Parses one answer as it is written."""

    def feed(self, text: str, /) -> list[StreamEvent]:
        """Return the events that `text`, the next piece of the answer, makes certain."""
        ...

    def finish(self, *, cut: bool = False) -> list[StreamEvent]:
        """Return what was held back; the answer is over.

        Args:
            cut: a limit or a stop string ended it, so that what looks like the beginning of a
                tag or call is one, and no text.
        """
        ...


@runtime_checkable
class CallParser(StreamParser, Protocol):
    """Parses answers in which calls may begin anywhere, behind a tag."""

    @property
    def call_openers(self) -> tuple[str, ...]:
        """The tags that begin calls."""
        ...

    @property
    def calls_end_thoughts(self) -> bool:
        """Whether a call in open thoughts ends them, be they closed later or not."""
        ...

    def offers(self, name: str, /) -> bool:
        """Return whether a tool of this name may be called, as far as that is known."""
        ...

    def fresh(self) -> CallParser:
        """Return a parser of the same kind that has read nothing."""
        ...


class PlainParser:
    """Everything is text: for requests without tools and templates of no known format."""

    def feed(self, text: str, /) -> list[StreamEvent]:
        """Return the text as it is."""
        return [TextPiece(text)] if text else []

    def finish(self, *, cut: bool = False) -> list[StreamEvent]:
        """Return nothing: nothing is ever held back."""
        del cut
        return []


def held_back(text: str, tag: str) -> int:
    """Return how many characters at the end of `text` may belong to a coming `tag`.

    These are the longest beginning of the tag that the text ends with, and the whitespace
    before it, which belongs to the tag too.
    """
    n_tag = min(len(tag) - 1, len(text))
    while n_tag and not text.endswith(tag[:n_tag]):
        n_tag -= 1
    return len(text) - len(text[: len(text) - n_tag].rstrip())


def joined(events: Iterable[StreamEvent]) -> list[StreamEvent]:
    """Return the events with neighbouring pieces of the same thing made one."""
    result: list[StreamEvent] = []
    for event in events:
        last = result[-1] if result else None
        match last, event:
            case TextPiece(before), TextPiece(after):
                result[-1] = TextPiece(before + after)
            case ReasoningPiece(before), ReasoningPiece(after):
                result[-1] = ReasoningPiece(before + after)
            case CallArguments(index, before), CallArguments(same, after) if index == same:
                result[-1] = CallArguments(index, before + after)
            case _:
                result.append(event)
    return result


@dataclass(slots=True)
class ParsedCall:
    """A tool call of a whole answer; `complete` is False where it was cut off."""

    name: str
    arguments: str = ""
    complete: bool = False


@dataclass(slots=True)
class ParsedAnswer:
    """A whole answer."""

    content: str = ""
    reasoning: str = ""
    tool_calls: list[ParsedCall] = field(default_factory=list)


def collect(events: Iterable[StreamEvent]) -> ParsedAnswer:
    """Return the whole answer that a stream of events adds up to."""
    answer = ParsedAnswer()
    for event in events:
        match event:
            case TextPiece(text):
                answer.content += text
            case ReasoningPiece(text):
                answer.reasoning += text
            case CallStart(_, name):
                answer.tool_calls.append(ParsedCall(name))
            case CallArguments(index, json_text):
                answer.tool_calls[index].arguments += json_text
            case CallEnd(index):
                answer.tool_calls[index].complete = True
    return answer
