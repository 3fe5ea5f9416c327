"""Owns finding where a JSON value ends while it arrives; must not know what it means."""

from __future__ import annotations

import re

SPACE = " \t\r\n"
CLOSERS = {"{": "}", "[": "]"}
_STRING_RUN = re.compile(r'[^"\\]*')


class JsonValue:
    """Finds the end of one JSON value; checks balance and strings, nothing more."""

    def __init__(self) -> None:
        self.complete = False
        self.broken = False
        self.kind = ""  # first character; tells string, object, list and scalar apart
        self._closers: list[str] = []
        self._in_string = False
        self._escaped = False

    @property
    def in_string(self) -> bool:
        """Whether what comes next belongs to a string that was begun."""
        return self._in_string

    def take(self, text: str, start: int) -> int:
        """Consume from `start` on; return the index after the value's last character seen."""
        at = start
        while at < len(text) and not (self.complete or self.broken):
            at = self._in_string_from(text, at) if self._in_string else self._outside(text, at)
        return at

    def _in_string_from(self, text: str, at: int) -> int:
        if self._escaped:
            self._escaped = False
            return at + 1
        run = _STRING_RUN.match(text, at)
        at = run.end() if run else at
        if at == len(text):
            return at
        if text[at] == "\\":
            self._escaped = True
        else:
            self._in_string = False
            self.complete = not self._closers
        return at + 1

    def _outside(self, text: str, at: int) -> int:
        char = text[at]
        first = not self.kind
        if first:
            self.kind = char
        if not first and not self._closers:
            return self._scalar(char, at)
        if char == '"':
            self._in_string = True
        elif char in CLOSERS:
            self._closers.append(CLOSERS[char])
        elif char in "}]":
            if not self._closers or self._closers.pop() != char:
                self.broken = True
                return at
            self.complete = not self._closers
        elif not (_scalar_char(char) or (self._closers and char in ",:" + SPACE)):
            self.broken = True
            return at
        return at + 1

    def _scalar(self, char: str, at: int) -> int:
        if _scalar_char(char):
            return at + 1
        self.complete = char in ",}" + SPACE
        self.broken = not self.complete
        return at


def _scalar_char(char: str) -> bool:
    return char.isalnum() or char in "+-."
