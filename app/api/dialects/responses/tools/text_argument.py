"""Owns reading the text in a custom tool's call while its arguments arrive; no I/O.

The model writes them as `{"input": "…"}`. Arguments of another form are the text as they are.
"""

from __future__ import annotations

import json
import re

from app.api.dialects.responses.tools.toolbox import CUSTOM_ARGUMENT
from app.base.json_types import without_lone_surrogates

_HEAD = re.compile(r'\s*\{\s*"' + CUSTOM_ARGUMENT + r'"\s*:\s*"')
_HEADS = re.compile(  # what may become one
    r"\s*(?:\{\s*(?:"
    + "|".join(
        re.escape(f'"{CUSTOM_ARGUMENT}"'[:end]) + "$" for end in range(len(CUSTOM_ARGUMENT) + 2)
    )
    + r'|"'
    + CUSTOM_ARGUMENT
    + r'"\s*(?::\s*)?$)|$)'
)
_WHOLE = re.compile(  # characters and escapes that are complete; half a pair is not
    r'(?:[^"\\]|\\u(?![dD][89abAB])[0-9a-fA-F]{4}|\\u[dD][89abAB][0-9a-fA-F]{2}(?:'
    r"\\u[0-9a-fA-F]{4}|(?!\\|$)|(?=\\[^u]))|\\[^u])*"
)


class TextArgument:
    """Reads the text of one call."""

    def __init__(self) -> None:
        self._held = ""
        self._in_text = False
        self._is_raw = False
        self._has_ended = False

    def feed(self, arguments: str) -> str:
        """Return the text that a further piece of the arguments adds."""
        if self._is_raw:
            return arguments
        if self._has_ended:
            return ""
        self._held += arguments
        if not self._in_text:
            head = _HEAD.match(self._held)
            if head is None:
                return "" if _HEADS.fullmatch(self._held) else self._raw()
            self._held = self._held[head.end() :]
            self._in_text = True
        return self._text()

    def end(self) -> str:
        """Return what is left at the end of the arguments; nothing of a form that was cut."""
        is_cut = _HEADS.fullmatch(self._held) is not None
        return "" if self._in_text or self._is_raw or is_cut else self._raw()

    def _raw(self) -> str:
        self._is_raw = True
        held, self._held = self._held, ""
        return held

    def _text(self) -> str:
        whole = _WHOLE.match(self._held)
        end = whole.end() if whole else 0
        text, self._held = self._held[:end], self._held[end:]
        self._has_ended = self._held.startswith('"')
        return without_lone_surrogates(json.loads(f'"{text}"', strict=False))
