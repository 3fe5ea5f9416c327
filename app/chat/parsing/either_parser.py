"""Owns reading answers with calls of two formats; must not know either."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from app.chat.parsing.stream_parser import (
    CallArguments,
    CallEnd,
    CallStart,
    StreamEvent,
    StreamParser,
    TextPiece,
    joined,
)


class EitherParser:
    """Parses calls as one parser reads them, and what that takes for text as another does.

    Args:
        first: makes the parser of the answer.
        second: makes parsers of the text before, between and after the calls of the first.
    """

    def __init__(
        self, first: Callable[[], StreamParser], second: Callable[[], StreamParser]
    ) -> None:
        self._make_first = first
        self._make_second = second
        self._first = first()
        self._second = second()
        self._n_calls = 0
        self._numbers: dict[int, int] = {}  # of the calls of the first
        self._second_numbers: dict[int, int] = {}

    @property
    def call_openers(self) -> tuple[str, ...]:
        """The tags that begin calls, of both."""
        both = (self._first, self._second)
        return tuple(tag for parser in both for tag in getattr(parser, "call_openers", ()))

    @property
    def calls_end_thoughts(self) -> bool:
        """Whether a call of either in open thoughts ends them."""
        both = (self._first, self._second)
        return any(getattr(parser, "calls_end_thoughts", False) for parser in both)

    def offers(self, name: str, /) -> bool:
        """Return whether a tool of this name may be called, as far as that is known."""
        both = (self._first, self._second)
        return all(parser.offers(name) for parser in both if hasattr(parser, "offers"))

    def fresh(self) -> EitherParser:
        """Return a parser of the same kind that has read nothing."""
        return EitherParser(self._make_first, self._make_second)

    def feed(self, text: str, /) -> list[StreamEvent]:
        """Return the events that `text` makes certain."""
        return joined(self._read(self._first.feed(text)))

    def finish(self, *, cut: bool = False) -> list[StreamEvent]:
        """Return what was held back and is no beginning of a call."""
        events = self._read(self._first.finish(cut=cut))
        return joined([*events, *self._text_over(cut=cut)])

    def _read(self, events: Iterable[StreamEvent]) -> list[StreamEvent]:
        read: list[StreamEvent] = []
        for event in events:
            if isinstance(event, TextPiece):
                found = self._second.feed(event.text)
                read += self._numbered(found, self._second_numbers)
                continue
            if isinstance(event, CallStart):
                read += self._text_over()
            read += self._numbered([event], self._numbers)
        return read

    def _text_over(self, *, cut: bool = False) -> list[StreamEvent]:
        events = self._numbered(self._second.finish(cut=cut), self._second_numbers)
        self._second, self._second_numbers = self._make_second(), {}
        return events

    def _numbered(
        self, events: Iterable[StreamEvent], numbers: dict[int, int]
    ) -> list[StreamEvent]:
        """Return events where calls are counted over both parsers."""
        result: list[StreamEvent] = []
        for event in events:
            match event:
                case CallStart(index, name):
                    numbers[index] = self._n_calls
                    self._n_calls += 1
                    result.append(CallStart(numbers[index], name))
                case CallArguments(index, json_text):
                    result.append(CallArguments(numbers[index], json_text))
                case CallEnd(index):
                    result.append(CallEnd(numbers[index]))
                case _:
                    result.append(event)
        return result
