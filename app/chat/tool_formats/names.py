"""Owns how formats write the names of arguments; must not know any format.

Pure. What writes a name, reads it and holds a model to it goes by one `NameSyntax`. Clients take
any text for a name, so the names that are offered are looked for first, letter by letter; others
count as far as a pattern goes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from app.chat.parsing.incremental import Input, NoCall, Step

_ANY = re.compile(r"(?s:.)*")


@dataclass(frozen=True)
class NameSyntax:
    """How the names of arguments are written.

    Attributes:
        before: text before a name.
        ends: texts of which one follows it; the first is the usual one.
        unknown: pattern, of the form `[…]*`, of names that no schema tells of.
        escapes: characters that are written as another text each.
        closing: text before the name of an argument that ends; empty where none is written.
        around: the name of what all arguments are in.
        n_nested: how deep within objects and lists names are written so too; further down, and
            in schemas that say more than names and types, they are JSON.
        is_exact: whitespace around unknown names belongs to them.
    """

    before: str = ""
    ends: tuple[str, ...] = ()
    unknown: re.Pattern[str] = _ANY
    escapes: tuple[tuple[str, str], ...] = ()
    closing: str = ""
    around: str = ""
    n_nested: int = 0
    is_exact: bool = False

    def written(self, name: str, end: str = "") -> str:
        """Return a name with what is before and after it; `end` is the usual one by default."""
        return f"{self.before}{self._escaped(name)}{end or self.ends[0]}"

    def closed(self, name: str) -> str:
        """Return what is written where the argument `name` ends."""
        return f"{self.closing}{self._escaped(name)}{self.ends[0]}"

    def offered(self, source: Input, names: Iterable[str]) -> Step[tuple[str, str] | None]:
        """Read one of `names` and its end, if one comes next; `before` was read."""
        options = {self._escaped(name) + end: (name, end) for name in names for end in self.ends}
        return options.get((yield from source.literal(*options)))

    def read(self, source: Input, names: Iterable[str] = ()) -> Step[tuple[str, str]]:
        """Read a name and its end, be it one of `names` or not; `before` was read.

        Raises:
            NoCall: none comes.
        """
        found = yield from self.offered(source, names)
        if found:
            return found
        word = yield from source.word(self.unknown)
        name = self._unescaped(word if self.is_exact else word.strip())
        if not name:
            raise NoCall
        return name, (yield from source.expect(*self.ends))

    def unclear(self, names: Iterable[str], around: str) -> str | None:
        """Return one of the names of an object which readers could not tell from another text.

        It is how something ends, or another name and what follows that is how it begins.

        Args:
            names: all names that stand beside each other.
            around: the name of the object they are in.
        """
        written = {self._escaped(name): name for name in names}
        for text, name in written.items():
            if self.closing and self.written(name) == self.closed(around):
                return name
            begun = (text[:at] for end in self.ends for at in _places(text, end))
            if any(short in written for short in begun):
                return name
        return None

    def _escaped(self, name: str) -> str:
        for char, text in self.escapes:
            name = name.replace(char, text)
        return name

    def _unescaped(self, text: str) -> str:
        for char, written in reversed(self.escapes):
            text = text.replace(written, char)
        return text


IN_JSON = NameSyntax()
"""Names are keys of JSON objects, which may be any text."""


def _places(text: str, part: str) -> Iterator[int]:
    return (found.start() for found in re.finditer(f"(?={re.escape(part)})", text))
