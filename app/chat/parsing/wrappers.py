"""Owns the marks that some models write around an answer's text, and that nobody is to see.

Pure; must not know tool formats: it filters what another parser made of an answer. Formats whose
every answer is a message with a head, as Harmony's, read it themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

from app.chat.parsing.incremental import any_of, n_held
from app.chat.parsing.stream_parser import (
    CallParser,
    CallStart,
    ReasoningPiece,
    StreamEvent,
    StreamParser,
    TextPiece,
    joined,
)
from app.chat.parsing.unfinished import begins_tag


@dataclass(frozen=True)
class AnswerMarks:
    """The marks of a family of models.

    Attributes:
        opening: stands before an answer's text; "" where nothing does.
        closing: stands after it.
        are_text: they are words that a text may contain too. The opening counts at the beginning
            only, the closing after an opening or at the end.
        opens_thoughts: more thoughts are between them, or none.
        stray: further marks, which never mean anything.
    """

    opening: str
    closing: str
    are_text: bool = False
    opens_thoughts: bool = False
    stray: tuple[str, ...] = ()


_TURN = ("<|CHATBOT_TOKEN|>", "<|END_OF_TURN_TOKEN|>")  # of Cohere's models

# What a template contains, and the marks that it tells of; the first that is found wins.
_MARKS: tuple[tuple[str, AnswerMarks], ...] = (
    (
        "<|channel>thought",
        AnswerMarks("<|channel>thought", "<channel|>", opens_thoughts=True, stray=("<|channel>",)),
    ),
    ("<|START_RESPONSE|>", AnswerMarks("<|START_RESPONSE|>", "<|END_RESPONSE|>", stray=_TURN)),
    ("<|START_TEXT|>", AnswerMarks("<|START_TEXT|>", "<|END_TEXT|>", stray=_TURN)),
    (_TURN[0], AnswerMarks(*_TURN)),
    (
        "[END FINAL RESPONSE]",
        AnswerMarks("[BEGIN FINAL RESPONSE]", "[END FINAL RESPONSE]", are_text=True),
    ),
    ("<response></response>", AnswerMarks("<response>", "</response>", are_text=True)),
    ("</answer>", AnswerMarks("<answer>", "</answer>", are_text=True)),
    ("</assistant>", AnswerMarks("", "</assistant>", are_text=True)),
)


def detect_marks(template_source: str) -> AnswerMarks | None:
    """Return the marks that the template's model writes around its text; None without any."""
    return next((marks for mark, marks in _MARKS if mark in template_source), None)


class _Filter:
    """What parsers share that filter another one's events: calls begin as for that."""

    def __init__(self, inner: StreamParser) -> None:
        self._inner = inner

    def feed(self, text: str, /) -> list[StreamEvent]:
        """Return the events that `text` makes certain."""
        return self._inner.feed(text)

    @property
    def call_openers(self) -> tuple[str, ...]:
        """The tags that begin calls."""
        return self._inner.call_openers if isinstance(self._inner, CallParser) else ()

    @property
    def calls_end_thoughts(self) -> bool:
        """Whether a call in open thoughts ends them."""
        return not isinstance(self._inner, CallParser) or self._inner.calls_end_thoughts

    def offers(self, name: str, /) -> bool:
        """Return whether a tool of this name may be called."""
        return not isinstance(self._inner, CallParser) or self._inner.offers(name)

    def fresh(self) -> CallParser:
        """Return a parser that reads the same calls and has read nothing."""
        if not isinstance(self._inner, CallParser):
            raise TypeError("it reads no calls")
        return self._inner.fresh()


class WrapperParser(_Filter):
    """Parses an answer whose text may stand between marks.

    They are dropped, and so is the whitespace beside them at either end of the text.

    Args:
        inner: parses the answer; its text is what has marks.
        marks: which.
        is_open: the prompt ended after the opening one.
    """

    def __init__(self, inner: StreamParser, marks: AnswerMarks, *, is_open: bool = False) -> None:
        super().__init__(inner)
        self._marks = marks
        self._is_open = is_open
        self._events: list[StreamEvent] = []
        self._held = ""  # what may become a mark, and a closing one that may be text
        self._space = ""  # that may stand beside a mark
        self._is_beside_mark = False  # nothing but space has come since a mark
        self._has_said = False
        self._in_thoughts = False
        self._has_thought = False
        self._space_of_text = ""  # while it is interrupted by thoughts

    def feed(self, text: str, /) -> list[StreamEvent]:
        """Return the events that `text` makes certain."""
        self._filter(self._inner.feed(text))
        return self._taken()

    def finish(self, *, cut: bool = False) -> list[StreamEvent]:
        """Return what was held back and is no mark."""
        self._filter(self._inner.finish(cut=cut))
        self._end_text(is_cut=cut)
        if not (self._is_beside_mark or self._in_thoughts):
            self._events.append(TextPiece(self._space))
        return self._taken()

    def _taken(self) -> list[StreamEvent]:
        events, self._events = joined(self._events), []
        return [event for event in events if event != TextPiece("")]

    def _filter(self, events: list[StreamEvent]) -> None:
        for event in events:
            match event:
                case TextPiece(text):
                    self._held += text
                    while self._step():
                        pass
                case CallStart():
                    self._end_text(is_cut=False)
                    self._space, self._in_thoughts = "", False
                    self._events.append(event)
                case _:
                    self._events.append(event)

    # ------------------------------------------------------------ text

    def _step(self) -> bool:
        """Take what is certain of what is held; False where that is nothing."""
        tags = self._tags()
        found = any_of(tags).search(self._held)
        n_sure = len(self._held) - n_held(self._held, tags)
        if not found or found.end() > n_sure:
            n_sure = min(n_sure, found.start()) if found else n_sure
            self._say(self._held[:n_sure])
            self._held = self._held[n_sure:]
            return bool(self._held) and self._tags() != tags  # the text had begun
        at, tag = found.start(), found[0]
        before, after = self._held[:at], self._held[at + len(tag) :]
        self._say(before)
        if tag not in self._tags():  # the text had begun
            self._held = tag + after
            return True
        if tag == self._marks.closing and self._marks.are_text and not self._is_open:
            self._held = tag + after
            if not after.strip():
                return False
            self._say(tag)
            self._held = after
            return True
        self._held = after
        self._drop(tag)
        return True

    def _tags(self) -> tuple[str, ...]:
        opening, closing = self._marks.opening, self._marks.closing
        if self._in_thoughts:
            return (closing,)
        if not opening or (self._marks.are_text and (self._has_said or self._is_open)):
            return (closing,)
        return (opening, closing, *self._marks.stray)

    def _drop(self, tag: str) -> None:
        if self._in_thoughts:
            self._space = self._space_of_text
        self._is_open = tag == self._marks.opening
        self._in_thoughts = self._is_open and self._marks.opens_thoughts
        self._has_thought = False
        self._is_beside_mark = True
        if not self._has_said:
            self._space = ""
        if self._in_thoughts:
            self._space_of_text, self._space = self._space, ""

    def _say(self, text: str) -> None:
        if not text:
            return
        shown = text.strip() if self._in_thoughts or self._is_at_start() else text.rstrip()
        if not shown:
            self._space += text
            return
        start = text.index(shown)
        space, self._space = self._space + text[:start], text[start + len(shown) :]
        if self._in_thoughts:
            self._events.append(ReasoningPiece((space if self._has_thought else "") + shown))
            self._has_thought = True
            return
        self._events.append(TextPiece(("" if self._is_at_start() else space) + shown))
        self._has_said, self._is_beside_mark = True, False

    def _is_at_start(self) -> bool:
        """Whether the text begins behind a mark."""
        return self._is_beside_mark and not self._has_said

    def _end_text(self, *, is_cut: bool) -> None:
        """Tell what is held although it is no whole mark; a closing one that is last is none."""
        held, self._held = self._held, ""
        marks = self._marks
        is_mark = held in marks.stray or (marks.are_text and held.startswith(marks.closing))
        if is_mark or begins_tag(held, is_cut=is_cut, has_said=self._has_said):
            self._is_beside_mark = True
        else:
            self._say(held)


class RequiredCallsParser(_Filter):
    """Parses an answer that is held to be calls: what is no call at its end is a part of one.

    Args:
        inner: parses the answer.
    """

    def finish(self, *, cut: bool = False) -> list[StreamEvent]:
        """Return what was held back and is no text."""
        events = self._inner.finish(cut=cut)
        return [event for event in events if not isinstance(event, TextPiece)]


class OneCallParser(_Filter):
    """Parses an answer of which one call counts.

    Args:
        inner: parses the answer.
    """

    def feed(self, text: str, /) -> list[StreamEvent]:
        """Return the events that `text` makes certain."""
        return _with_one_call(self._inner.feed(text))

    def finish(self, *, cut: bool = False) -> list[StreamEvent]:
        """Return what was held back."""
        return _with_one_call(self._inner.finish(cut=cut))


def _with_one_call(events: list[StreamEvent]) -> list[StreamEvent]:
    return [event for event in events if not getattr(event, "index", 0)]
