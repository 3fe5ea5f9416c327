"""Owns turning a Python literal, as it arrives, into JSON text; must not know what is around it.

Pure: nothing is evaluated. What is no JSON when turned so (a tuple, a sum) is for the caller to
find out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

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
    '"': '\\"',
    "'": "'",
    "/": "/",
}
_N_DIGITS = {"u": 4, "x": 2}


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
        self._put(_WORDS.get(word, word))

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
        """Take one character of an escape sequence."""
        escape = self._escape + text[at]
        n_digits = _N_DIGITS.get(escape[1], 0)
        if len(escape) > 2 and escape[-1] not in "0123456789abcdefABCDEF":
            self._escape = ""
            self._put_text(escape[:-1])
            return at
        if len(escape) < 2 + n_digits:
            self._escape = escape
            return at + 1
        self._escape = ""
        if n_digits:
            self._put("\\u" + escape[2:].rjust(4, "0"))
        elif escape[1] in _ESCAPES:
            self._put(_ESCAPES[escape[1]])
        else:
            self._put_text(escape)
        return at + 1

    def _put_text(self, text: str) -> None:
        text = without_lone_surrogates(text)
        self._put(json.dumps(text, ensure_ascii=False)[1:-1])
