"""Owns turning a Python literal, as it arrives, into JSON text; must not know what is around it.

Pure: nothing is evaluated. What is no JSON when turned so (a tuple, a sum) is for the caller to
find out.
"""

from __future__ import annotations

import json
import re
import sys
import unicodedata
from collections.abc import Callable
from contextlib import suppress

from app.base.json_types import without_lone_surrogates

_WORDS = {"True": "true", "False": "false", "None": "null"}
_WORD = re.compile(r"[\w.+-]+")
_RUNS = {quote: re.compile(rf"[^{quote}\\]+") for quote in "'\""}
_ESCAPES = {
    "\\": "\\\\",
    "n": "\\n",
    "t": "\\t",
    "r": "\\r",
    "b": "\\b",
    "f": "\\f",
    "a": "\\u0007",
    "v": "\\u000b",
    '"': '\\"',
    "'": "'",
    "/": "/",
    "\n": "",
}
_HEX = "[0-9a-fA-F]"
_BEGUN_ESCAPE = re.compile(
    rf"\\(?:x{_HEX}?|u{_HEX}{{0,3}}|U{_HEX}{{0,7}}|N(?:\{{[A-Za-z0-9 -]{{0,100}})?|[0-7]{{1,2}})"
)
_CODE = re.compile(rf"\\(?:x{_HEX}{{2}}|u{_HEX}{{4}}|U{_HEX}{{8}})")
_OCTAL = re.compile(r"\\[0-7]{1,3}")
_NAMED = re.compile(r"\\N\{([^}]+)\}")
_JSON_WORD = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null|")


class PythonValue:
    """Reads one value up to a comma or parenthesis that is not its own.

    Args:
        put: takes pieces of JSON text.
    """

    def __init__(self, put: Callable[[str], None]) -> None:
        self.complete = False
        self.broken = False
        self._put = put
        self._depth = 0
        self._quote = ""
        self._escape = ""
        self._word: list[str] = []

    def take(self, text: str) -> int:
        """Consume `text`; return the index after the value's last character seen."""
        at = 0
        while at < len(text) and not (self.complete or self.broken):
            if self._escape:
                at = self._in_escape(text, at)
            elif self._quote:
                at = self._in_string(text, at)
            else:
                at = self._outside(text, at)
        return at

    def _outside(self, text: str, at: int) -> int:
        word = _WORD.match(text, at)
        if word:
            self._word.append(word[0])
            return word.end()
        self._end_word()
        char = text[at]
        if not self._depth and char in ",)":
            self.complete = True
            return at
        if char in "'\"":
            self._quote = char
            char = '"'
        elif char in "[{":
            self._depth += 1
        elif char in "]}":
            self._depth -= 1
        self.broken = self._depth < 0 or not (char in '[]{},:"' or char.isspace())
        if not self.broken:
            self._put(char)
        return at + (not self.broken)

    def _end_word(self) -> None:
        word = "".join(self._word)
        self._word = []
        self._put(_WORDS.get(word) or _number(word))

    def _in_string(self, text: str, at: int) -> int:
        run = _RUNS[self._quote].match(text, at)
        if run:
            self._put_text(run[0])
            return run.end()
        if text[at] == "\\":
            self._escape = "\\"
        else:
            self._quote = ""
            self._put('"')
        return at + 1

    def _in_escape(self, text: str, at: int) -> int:
        """Take one character of an escape sequence, if it belongs to it."""
        escape = self._escape + text[at]
        if _BEGUN_ESCAPE.fullmatch(escape):
            self._escape = escape
            return at + 1
        json_text = _unescaped(escape)
        if json_text is None and len(escape) > 2:  # the character is the next after it
            escape, at = self._escape, at - 1
            json_text = _unescaped(escape)
        self._escape = ""
        if json_text is None:
            self._put_text(escape)
        else:
            self._put(json_text)
        return at + 1

    def _put_text(self, text: str) -> None:
        text = without_lone_surrogates(text)
        self._put(json.dumps(text, ensure_ascii=False)[1:-1])


def _number(word: str) -> str:
    """Return a number as JSON has it; what is none stays as it is."""
    if _JSON_WORD.fullmatch(word):
        return word
    for read in (lambda: int(word, 0), lambda: float(word)):
        with suppress(ValueError):
            return json.dumps(read(), allow_nan=False)
    return word


def _unescaped(escape: str) -> str | None:
    """Return the JSON text of an escape sequence; None where it stands for itself."""
    if escape[1:] in _ESCAPES:
        return _ESCAPES[escape[1:]]
    if _OCTAL.fullmatch(escape):
        return json.dumps(chr(int(escape[1:], 8)))[1:-1]
    if _CODE.fullmatch(escape):
        code = int(escape[2:], 16)
        return json.dumps(chr(code))[1:-1] if code <= sys.maxunicode else None
    named = _NAMED.fullmatch(escape)
    with suppress(KeyError):
        return json.dumps(unicodedata.lookup(named[1]))[1:-1] if named else None
    return None
