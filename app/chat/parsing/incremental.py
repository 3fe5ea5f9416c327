"""Owns reading a text that is still arriving: each read waits until what comes is certain.

Pure; must not know tool formats. A read is a generator that yields where it needs more text, so
that a parser can be written in the order in which the model writes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from functools import cache
from typing import TypeVar

from app.chat.parsing.json_value import SPACE, JsonValue

T = TypeVar("T")
Step = Generator[None, None, T]

_MAX_WORD_CHARS = 256  # no name, key or id is longer


class NoCall(Exception):
    """What arrives is not what the format asks for; never leaves a parser."""


def n_held(text: str, tags: tuple[str, ...]) -> int:
    """Return how many characters at the end of `text` may begin one of `tags`."""
    return max((_n_begun(text, tag) for tag in tags), default=0)


def _n_begun(text: str, tag: str) -> int:
    n = min(len(tag) - 1, len(text))
    while n and not text.endswith(tag[:n]):
        n -= 1
    return n


@cache
def any_of(tags: tuple[str, ...]) -> re.Pattern[str]:
    """Return a pattern for the first of `tags`, the longest where several begin together."""
    # The longest first: an alternation takes the first that matches.
    return re.compile("|".join(map(re.escape, sorted(tags, key=len, reverse=True))) or r"(?!)")


class Input:
    """Text that has arrived and was not read yet, and what to give back if it is no call."""

    def __init__(self) -> None:
        self.over = False
        self._text = ""
        self._at = 0
        self._record: list[str] | None = None

    @property
    def rest(self) -> str:
        """What was not read yet."""
        return self._text[self._at :]

    @property
    def is_used_up(self) -> bool:
        """Whether the text is over, and all of it was read."""
        return self.over and self._at == len(self._text)

    def add(self, text: str) -> None:
        """Append `text`, which just arrived."""
        self._text, self._at = self.rest + text, 0

    def record(self, read_before: str) -> None:
        """Begin to remember what is read, after `read_before`."""
        self._record = [read_before]

    def forget(self) -> str:
        """Return what was recorded, and record no longer."""
        recorded, self._record = "".join(self._record or ()), None
        return recorded

    def give_back(self, text: str) -> None:
        """Put `text`, which was taken, before what was not read yet."""
        self.add("")
        self._text = text + self._text

    def take(self, n_chars: int) -> str:
        """Read so many characters of `rest`."""
        piece = self._text[self._at : self._at + n_chars]
        self._at += n_chars
        if self._record is not None:
            self._record.append(piece)
        return piece

    def more(self) -> Step[bool]:
        """Wait for more text, or the end; False where it was over already."""
        if self.over:
            return False
        yield
        return True

    def peek(self) -> Step[str]:
        """Return the next character; empty at the end."""
        while self._at == len(self._text) and (yield from self.more()):
            pass
        return self._text[self._at : self._at + 1]

    def skip(self, chars: str = SPACE) -> Step[None]:
        """Read any number of `chars`."""
        while (char := (yield from self.peek())) and char in chars:
            rest = self.rest
            self.take(len(rest) - len(rest.lstrip(chars)))

    def literal(self, *options: str) -> Step[str]:
        """Read the longest of `options` that comes next; empty if none does.

        One that the end of the answer cuts off is read, and counts as none; so is the longer one
        of two that begin together.
        """
        while True:
            rest = self.rest
            waits = any(len(rest) < len(option) and option.startswith(rest) for option in options)
            if not (waits and (yield from self.more())):
                break
        found = max((o for o in options if rest.startswith(o)), key=len, default="")
        self.take(len(rest) if waits else len(found))
        return found

    def expect(self, *options: str) -> Step[str]:
        """Read one of `options`.

        Raises:
            NoCall: something else comes.
        """
        found = yield from self.literal(*options)
        if not found:
            raise NoCall
        return found

    def word(self, allowed: re.Pattern[str]) -> Step[str]:
        """Read characters as long as `allowed` (of the form `[…]*`) matches them.

        Raises:
            NoCall: it is too long for a name.
        """
        word = ""
        while len(word) <= _MAX_WORD_CHARS:
            found = allowed.match(self._text, self._at)
            n = found.end() - self._at if found else 0
            word += self.take(min(n, _MAX_WORD_CHARS + 1 - len(word)))
            if self._at < len(self._text) and len(word) <= _MAX_WORD_CHARS:
                return word
            if self._at == len(self._text) and not (yield from self.more()):
                return word
        raise NoCall

    def until(self, tag: str, sink: Callable[[str], None]) -> Step[None]:
        """Give `sink` all text before `tag`, as it comes, and read the tag.

        Raises:
            NoCall: the text is over before.
        """
        while True:
            rest = self.rest
            at = rest.find(tag)
            if at >= 0:
                sink(self.take(at))
                self.take(len(tag))
                return
            sink(self.take(len(rest) - n_held(rest, (tag,))))
            if not (yield from self.more()):
                self.take(len(self.rest))
                raise NoCall

    def json_value(self, sink: Callable[[str], None]) -> Step[None]:
        """Give `sink` the JSON value that comes next, as it comes.

        Raises:
            NoCall: it breaks off, or its brackets do not match.
        """
        value = JsonValue()
        while True:
            rest = self.rest
            sink(self.take(value.take(rest, 0)))
            if value.complete:
                return
            if value.broken or not (yield from self.more()):
                raise NoCall
