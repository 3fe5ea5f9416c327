"""Owns telling what a model thinks from what it answers, where tags stand around the thoughts.

Pure; must not know tool formats: what is no thought goes to another parser, which also says what a
call begins with. Formats that think in messages of their own, as Harmony, tell it themselves.
"""

from __future__ import annotations

from collections.abc import Callable

from app.chat.parsing.incremental import Input, Step, n_held
from app.chat.parsing.reasoning_tags import (
    N_QUOTE_CHARS,
    ReasoningTags,
    detect_reasoning,
    is_quoted,
    opens_reasoning,
)
from app.chat.parsing.stream_parser import (
    CallArguments,
    CallEnd,
    CallParser,
    CallStart,
    ReasoningPiece,
    StreamEvent,
    StreamParser,
    TextPiece,
    joined,
)

__all__ = ["ReasoningParser", "ReasoningTags", "detect_reasoning", "opens_reasoning"]

_PIECE_CHARS = 4096  # what was not read yet is copied
_TRIED_CHARS = 64  # of what may be no call, and is read again then


class ReasoningParser:
    """Parses an answer that may begin with thoughts.

    They are passed on as they come, without the whitespace around them; nothing is held back but
    that, and what may become the closing tag. All else goes to `inner`.

    A call that `inner` would read ends them too, for models forget to close them. Where the family
    does not call in the midst of its thoughts, one after which they go on and are closed is part
    of them; what follows its tag is held back until that is known. What only looks like a call
    stays a thought, as does one of a tool that is not offered, or that is in quotes.

    Later in the answer the tags are text like any, but for a closing tag before which nothing was
    opened and no call began, of a model whose prompt had opened it, unseen, and for one that
    comes after a call in the thoughts. That tag alone is dropped.

    Args:
        inner: parses the answer proper; a `CallParser` finds calls in thoughts.
        tags: what stands around the thoughts.
        is_open: the prompt ended after the opening tag. One that is written again is dropped.
        is_closed: it ended after the closing tag, so that whitespace before the answer belongs to
            that.
        goes_on: the prompt ended in the midst of these thoughts, so that space belongs to them.
    """

    def __init__(
        self,
        inner: StreamParser,
        tags: ReasoningTags,
        *,
        is_open: bool,
        is_closed: bool = False,
        goes_on: bool = False,
    ) -> None:
        self._inner = inner
        self._tags = tags
        self._in_reasoning = is_open
        self._input = Input()
        self._events: list[StreamEvent] = []
        self._space: list[str] = []  # whitespace that belongs to the closing tag, if that follows
        self._has_thought = self._goes_on = is_open and goes_on
        self._called = False
        self._in_call = False
        self._may_close = not is_open  # a lone closing tag may come
        self._is_closed = is_closed
        self._is_cut = False
        self._called_in_thoughts = False
        self._last = ""  # the end of what was thought
        self._script = self._run()
        next(self._script, None)

    @property
    def in_reasoning(self) -> bool:
        """Whether what comes next is thought."""
        return self._in_reasoning

    def feed(self, text: str, /) -> list[StreamEvent]:
        """Return the events that `text` makes certain."""
        for start in range(0, len(text), _PIECE_CHARS):
            self._input.add(text[start : start + _PIECE_CHARS])
            next(self._script, None)
        return self._taken()

    def finish(self, *, cut: bool = False) -> list[StreamEvent]:
        """Return what was held back and is no beginning of a tag."""
        self._is_cut = cut
        self._input.over = True
        next(self._script, None)
        self._take_over(self._inner.finish(cut=cut))
        return self._taken()

    def _taken(self) -> list[StreamEvent]:
        events, self._events = joined(self._events), []
        return events

    # ------------------------------------------------------------ the answer

    def _run(self) -> Step[None]:
        yield from self._beginning()
        if self._in_reasoning:
            yield from self._thoughts()
            self._in_reasoning = False
            if self._called_in_thoughts:
                yield from self._late_closing()
            else:
                yield from self._input.skip()
        yield from self._answer()

    def _beginning(self) -> Step[None]:
        """Read an opening tag, or find that there is none."""
        if self._goes_on:
            return
        self._input.record("")
        yield from self._input.skip()
        if self._in_reasoning:
            self._input.record("")
        opened = yield from self._input.literal(self._tags.opening)
        before = self._input.forget()
        if opened:
            self._in_reasoning = True
            self._may_close = False
        elif self._in_reasoning:
            self._think(before)
        else:
            yield from self._closed_at_once(before)

    def _closed_at_once(self, before: str) -> Step[None]:
        """Read a closing tag that the answer begins with: the model says that it thinks not."""
        self._input.record(before)
        closed = yield from self._input.literal(self._tags.closing)
        before = self._input.forget()
        if closed:
            self._may_close = False
            yield from self._input.skip()
        elif not (self._is_cut and self._begins_tag(before.strip())):
            self._pass_on(before.lstrip() if self._is_closed else before)

    def _begins_tag(self, text: str) -> bool:
        tags = (self._tags.opening, self._tags.closing)
        return bool(text) and any(tag.startswith(text) for tag in tags)

    def _thoughts(self) -> Step[str]:
        """Read thoughts, and return the closing tag; empty where something else ended them."""
        inner = self._inner if isinstance(self._inner, CallParser) else None
        openers = inner.call_openers if inner is not None else ()
        ends = (self._tags.closing, *self._tags.also_end)
        quoted = False
        while True:
            tag = yield from self._until((*ends, *openers), self._think)
            if inner is None or not tag or tag in ends:
                break
            # A quotation goes on where one tag follows another.
            quoted = is_quoted(self._last) or (quoted and not self._last.strip())
            is_call = not quoted and (yield from self._call_begins(inner.fresh()))
            if is_call and not inner.calls_end_thoughts:
                is_call = not (yield from self._goes_on_behind_call(inner.fresh()))
                openers = openers if is_call else ()
            if is_call:
                self._called_in_thoughts, self._space = True, []
                return ""
            self._think(self._input.take(len(tag)))
            self._last = ""
        return (yield from self._input.literal(self._tags.closing))

    def _call_begins(self, trial: CallParser) -> Step[bool]:
        """Return whether a call begins here; nothing of it is read."""
        self._input.record("")
        events: list[StreamEvent] = []
        is_call: bool | None = None
        is_cut = False
        while is_call is None and not is_cut:
            if self._input.rest:
                events += trial.feed(self._input.take(_TRIED_CHARS))
                is_call = _is_call(events, trial)
            elif not (yield from self._input.more()):
                events += trial.finish(cut=self._is_cut)
                is_call, is_cut = _is_call(events, trial, is_over=True), not events
        read = self._input.forget()
        self._input.give_back(read)
        return bool(is_call) or (is_cut and self._tags.closing not in read)

    def _goes_on_behind_call(self, trial: CallParser) -> Step[bool]:
        """Return whether more thoughts follow a call, up to a closing tag; nothing is read."""
        self._input.record("")
        found = yield from self._until((self._tags.closing,), _drop)
        read = self._input.forget()
        self._input.give_back(read)
        events = [*trial.feed(read), *trial.finish()] if found else []
        return any(isinstance(event, TextPiece) and event.text.strip() for event in events)

    def _late_closing(self) -> Step[None]:
        """Read up to a closing tag that comes after a call in the thoughts, and drop that."""
        closing, space = self._tags.closing, ""

        def say(text: str) -> None:
            nonlocal space
            said = text.rstrip()
            if said:
                self._pass_on(space + said)
                space = ""
            space += text[len(said) :]

        while (yield from self._until((closing,), say)):
            if not self._in_call:
                yield from self._input.literal(closing)
                yield from self._input.skip()
                space = "\n" if (yield from self._input.peek()) else ""
                break
            say(self._input.take(len(closing)))
        self._pass_on(space)

    def _answer(self) -> Step[None]:
        if self._may_close:
            tags = (self._tags.opening, self._tags.closing)
            found = yield from self._until(tags, self._pass_on)
            if found == self._tags.closing and not self._called:
                yield from self._input.literal(found)
        while True:
            self._pass_on(self._input.take(len(self._input.rest)))
            if not (yield from self._input.more()):
                return

    def _until(self, tags: tuple[str, ...], sink: Callable[[str], None]) -> Step[str]:
        """Give `sink` what comes before the first of `tags`, and return that; empty at the end."""
        while True:
            rest = self._input.rest
            found = [(at, tag) for tag in tags if (at := rest.find(tag)) >= 0]
            if found:
                at, tag = min(found)
                sink(self._input.take(at))
                return tag
            sink(self._input.take(len(rest) - n_held(rest, tags)))
            if not (yield from self._input.more()):
                part = self._input.take(len(self._input.rest))
                if not (self._is_cut and self._in_reasoning and len(part) > 1):
                    sink(part)
                return ""

    # ------------------------------------------------------------ events

    def _think(self, text: str) -> None:
        self._remember(text)
        if not self._has_thought:
            text = text.lstrip()
        shown = text.rstrip()
        if shown:
            self._events.append(ReasoningPiece("".join(self._space) + shown))
            self._has_thought = True
            self._space = []
        self._space.append(text[len(shown) :])

    def _remember(self, text: str) -> None:
        self._last = (self._last + text)[-N_QUOTE_CHARS:]

    def _pass_on(self, text: str) -> None:
        if text:
            self._take_over(self._inner.feed(text))

    def _take_over(self, events: list[StreamEvent]) -> None:
        for event in events:
            self._in_call = isinstance(event, CallStart | CallArguments)
            self._called = self._called or self._in_call
        self._events += events


def _drop(text: str) -> None:
    del text


def _is_call(
    events: list[StreamEvent], parser: CallParser, *, is_over: bool = False
) -> bool | None:
    """Return whether events begin with a call, one that may be made; None is not known yet."""
    match events:
        case [CallStart(_, name), *rest] if parser.offers(name):
            if not rest:
                return True if is_over else None
            begun = rest[0].json_text.lstrip() if isinstance(rest[0], CallArguments) else ""
            return begun.startswith("{") or isinstance(rest[0], CallEnd)
        case []:
            return None
        case _:
            return False
