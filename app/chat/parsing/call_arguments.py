"""Owns what the arguments of a call are as text: one JSON object that every JSON reader takes.

Pure; must not know tool formats.
"""

from __future__ import annotations

import json
import re

_SPECIAL = re.compile(r'["\\\x00-\x1f]')
_ESCAPE = re.compile(r"\\(?:u[0-9a-fA-F]{4}|[^u])", re.DOTALL)
_MAYBE_ESCAPE = re.compile(r"\\(?:u[0-9a-fA-F]{0,3})?")
_HIGH = re.compile(r"\\u[dD][89abAB]..")
_LOW = re.compile(r"\\u[dD][c-fC-F]..")
_MAYBE_LOW = re.compile(r"(?:\\(?:u(?:[dD](?:[c-fC-F][0-9a-fA-F]?)?)?)?)?")
_N_ESCAPE = 6  # characters of `\uXXXX`
_NO_CHARACTER = "\\ufffd"


class ArgumentsText:
    """The JSON text of one call's arguments, as it arrives."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._is_object: bool | None = None  # None: nothing came yet
        self._in_string = False
        self._held = ""  # an escape sequence that is not over

    @property
    def are_whole(self) -> bool:
        """Whether all that came is one JSON object, without numbers that JSON does not have."""
        try:
            found = json.loads("".join(self._pieces), parse_constant=_refuse)
        except (ValueError, RecursionError):
            return False
        return isinstance(found, dict)

    def take(self, piece: str) -> str:
        """Return the next piece as strict readers take it, with what was held back before.

        In strings, control characters are escaped, and halves of surrogate pairs, which stand for
        no character, become U+FFFD. What is no object stays as it is.
        """
        if self._is_object is None and piece.strip():
            self._is_object = piece.lstrip().startswith("{")
        if self._is_object:
            piece = self._strict(self._held + piece)
        self._pieces.append(piece)
        return piece

    def _strict(self, text: str) -> str:
        self._held = ""
        shown: list[str] = []
        at = 0
        while found := _SPECIAL.search(text, at):
            shown.append(text[at : found.start()])
            at, char = found.end(), found[0]
            if char == '"':
                self._in_string = not self._in_string
            elif not self._in_string:
                pass
            elif char == "\\":
                char, at = self._escape(text, found.start())
            else:
                char = json.dumps(char)[1:-1]
            shown.append(char)
        return "".join([*shown, text[at:]])

    def _escape(self, text: str, start: int) -> tuple[str, int]:
        """Return the escape sequence that begins at `start`, and where it ends."""
        found = _ESCAPE.match(text, start)
        if not found:
            is_begun = _MAYBE_ESCAPE.fullmatch(text, start)
            return self._hold(text, start) if is_begun else ("\\", start + 1)
        if _LOW.fullmatch(found[0]):
            return _NO_CHARACTER, found.end()
        if not _HIGH.fullmatch(found[0]):
            return found[0], found.end()
        if _MAYBE_LOW.fullmatch(text, found.end()):
            return self._hold(text, start)
        end = found.end() + _N_ESCAPE
        if _LOW.fullmatch(text, found.end(), end) and _ESCAPE.match(text, found.end()):
            return text[start:end], end
        return _NO_CHARACTER, found.end()

    def _hold(self, text: str, start: int) -> tuple[str, int]:
        self._held = text[start:]
        return "", len(text)


def _refuse(constant: str) -> None:
    raise ValueError(constant)
