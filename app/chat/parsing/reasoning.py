"""Owns telling what a model thinks from what it answers, where tags stand around the thoughts.

Pure; must not know tool formats: what is no thought goes to another parser. Formats that think in
messages of their own, as Harmony, tell it themselves.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from app.chat.parsing.incremental import Input, Step, n_held
from app.chat.parsing.stream_parser import (
    CallStart,
    ReasoningPiece,
    StreamEvent,
    StreamParser,
    joined,
)

_PIECE_CHARS = 4096  # what was not read yet is copied
_MAYBE_TOKEN = re.compile(r"<[^<>\s]+>")


@dataclass(frozen=True)
class ReasoningTags:
    """The texts around a model's thoughts.

    Attributes:
        opening: stands before them; often the prompt ends with it.
        closing: stands after them.
        also_end: tags that end them too, and belong to what follows.
    """

    opening: str
    closing: str
    also_end: tuple[str, ...] = ()

    @property
    def tokens(self) -> tuple[str, ...]:
        """Texts that may be special tokens; those that are must reach the parser as text."""
        tags = (self.opening, self.closing, *self.also_end)
        parts = (part for tag in tags for part in _MAYBE_TOKEN.findall(tag))
        return tuple(dict.fromkeys((*tags, *parts)))


_THINK = ReasoningTags("<think>", "</think>")
_HUNYUAN = ReasoningTags("<think:opensource>", "</think:opensource>")
_KIMI_K3 = ReasoningTags("<|open|>think<|sep|>", "<|close|>think<|sep|>")
_APRIEL = ReasoningTags("Here are my reasoning steps:", "[BEGIN FINAL RESPONSE]")

# What a template contains, and the tags that it tells of; the first that is found wins.
_MARKS: tuple[tuple[str, ReasoningTags], ...] = (
    ("<|channel>thought", ReasoningTags("<|channel>thought", "<channel|>")),
    (
        "<|inner_prefix|>",
        ReasoningTags("<|inner_prefix|>", "<|inner_suffix|>", also_end=("<|tools_prefix|>",)),
    ),
    ("<|START_THINKING|>", ReasoningTags("<|START_THINKING|>", "<|END_THINKING|>")),
    ("[THINK]", ReasoningTags("[THINK]", "[/THINK]")),
    ("<seed:think>", ReasoningTags("<seed:think>", "</seed:think>")),
    ("<mm:think>", ReasoningTags("<mm:think>", "</mm:think>")),
    ("</think{}>", _HUNYUAN),
    ("open_tag('think'", _KIMI_K3),
    (_APRIEL.opening, _APRIEL),
    ("</think>", _THINK),
    ("</thinking>", ReasoningTags("<thinking>", "</thinking>")),
)


def detect_reasoning(template_source: str) -> ReasoningTags | None:
    """Return the tags that the template's model writes around its thoughts; None without any."""
    return next((tags for mark, tags in _MARKS if mark in template_source), None)


def opens_reasoning(prompt_text: str, tags: ReasoningTags, *, goes_on: bool = False) -> bool:
    """Return whether a rendered prompt ends where the model is to think.

    Args:
        goes_on: the prompt ends in the midst of a message, which may be in its thoughts.
    """
    _, opening, after = prompt_text.rpartition(tags.opening)
    return bool(opening) and (tags.closing not in after if goes_on else not after.strip())


class ReasoningParser:
    """Parses an answer that may begin with thoughts.

    They are passed on as they come, without the whitespace around them; nothing is held back but
    that, and what may become the closing tag. All else goes to `inner`. Later in the answer the
    tags are text like any, but for a closing tag before which nothing was opened and no call
    began: of a model whose prompt had opened it, unseen. That tag alone is dropped.

    Args:
        inner: parses the answer proper.
        tags: what stands around the thoughts.
        is_open: the prompt ended after the opening tag. One that is written again is dropped.
        is_closed: it ended after the closing tag, so that whitespace before the answer belongs to
            that.
    """

    def __init__(
        self,
        inner: StreamParser,
        tags: ReasoningTags,
        *,
        is_open: bool,
        is_closed: bool = False,
    ) -> None:
        self._inner = inner
        self._tags = tags
        self._in_reasoning = is_open
        self._input = Input()
        self._events: list[StreamEvent] = []
        self._space: list[str] = []  # whitespace that belongs to the closing tag, if that follows
        self._has_thought = False
        self._called = False
        self._may_close = not is_open  # a lone closing tag may come
        self._is_closed = is_closed
        self._is_cut = False
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
            yield from self._input.skip()
        yield from self._answer()

    def _beginning(self) -> Step[None]:
        """Read an opening tag, or find that there is none."""
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

    def _thoughts(self) -> Step[None]:
        yield from self._until((self._tags.closing, *self._tags.also_end), self._think)
        yield from self._input.literal(self._tags.closing)

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
        if not self._has_thought:
            text = text.lstrip()
        shown = text.rstrip()
        if shown:
            self._events.append(ReasoningPiece("".join(self._space) + shown))
            self._has_thought = True
            self._space = []
        self._space.append(text[len(shown) :])

    def _pass_on(self, text: str) -> None:
        if text:
            self._take_over(self._inner.feed(text))

    def _take_over(self, events: list[StreamEvent]) -> None:
        self._called = self._called or any(isinstance(event, CallStart) for event in events)
        self._events += events
