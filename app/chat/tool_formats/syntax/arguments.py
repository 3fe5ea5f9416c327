"""Owns turning arguments that a model writes between tags into JSON text; must not know the tags.

Pure. The text of a value does not say whether `5` is a number or a text: the tool's schema does;
without one, what is a JSON number, boolean, null, object or list stays one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping

from app.base.json_types import without_lone_surrogates
from app.chat.parsing.json_value import JsonValue
from app.chat.tool_formats.base import OfferedTools
from app.chat.tool_formats.syntax.parameters import Kinds, kind_of_value, kinds_of
from app.chat.tool_formats.syntax.python_value import PythonValue

TEXT: Kinds = frozenset({"string"})
ANY_JSON: Kinds = frozenset({"object", "array", "number", "boolean", "null"})

_KIND_BEGUN = {"{": "object", "[": "array"}
_BETWEEN_BREAKS = re.compile(r"\r?\n(.*?)\r?\n", re.DOTALL)
_MAX_SCALAR_CHARS = 64
_MAYBE_SCALAR = re.compile(
    r"\s*(?:-?[0-9]*\.?[0-9]*(?:[eE][+-]?[0-9]*)?"
    r"|t(?:r(?:ue?)?)?|f(?:a(?:l(?:se?)?)?)?|n(?:u(?:ll?)?)?"
    r"|T(?:r(?:ue?)?)?|F(?:a(?:l(?:se?)?)?)?|N(?:o(?:ne?)?)?)\s*"
)


def offered_kinds(offered: OfferedTools, tool: str, key: str) -> Kinds:
    """Return the JSON types that the schema of `tool` allows for the argument `key`."""
    schema = offered.get(tool) if isinstance(offered, Mapping) else None
    return kinds_of(schema, key) if isinstance(schema, Mapping) else None


class Value:
    """Turns the text of one value, as it arrives, into JSON.

    Args:
        put: takes pieces of JSON text.
        kinds: the types that the value may have.
        is_line: the value stands between line breaks that do not belong to it.
        may_be_line: so it is where there is a line break on both sides.
    """

    def __init__(
        self,
        put: Callable[[str], None],
        kinds: Kinds,
        *,
        is_line: bool,
        may_be_line: bool = False,
    ) -> None:
        self._put = put
        self._kinds = kinds
        self._is_line = is_line
        self._may_be_line = may_be_line
        self._lines: list[str] = []  # that may stand between line breaks
        self._held: list[str] = []
        self._n_held = 0
        self._is_text = kinds == frozenset({"string"})
        self._is_open = False
        self._is_first = True
        self._break = ""  # a line break that may be the last
        self._json = JsonValue()

    @property
    def in_json_string(self) -> bool:
        """Whether the value is to be JSON, and a string in it is not over yet."""
        begun = _KIND_BEGUN.get(self._json.kind, "")
        is_json = not self._takes_text() or (self._kinds is not None and begun in self._kinds)
        return self._json.in_string and is_json

    def write(self, piece: str) -> None:
        """Take the next piece of the value's text."""
        if not piece:
            return
        if self._lines or (self._may_be_line and piece[0] in "\r\n"):
            self._lines.append(piece)
            self._look_at(piece)
            return
        self._may_be_line = False
        if self._is_line:
            piece = self._without_breaks(piece)
        if self._is_text:
            self._text(piece)
        elif piece:
            self._hold(piece)

    def close(self) -> None:
        """The value is over."""
        if self._lines:
            whole = "".join(self._lines)
            lined = _BETWEEN_BREAKS.fullmatch(whole)
            self._lines, self._may_be_line = [], False
            self.write(lined[1] if lined else whole)
        if self._break == "\r":
            self._is_line = False
            self.write(self._break)
        if not self._is_text:
            held = "".join(self._held)
            json_text = _as_json(held, self._kinds)
            if json_text is not None:
                self._put(json_text)
                return
            self._text(held)
        self._text("")
        self._put('"')

    def _without_breaks(self, piece: str) -> str:
        piece = self._break + piece
        if self._is_first:
            self._break = ""
            if piece == "\r":
                self._break = piece
                return ""
            self._is_first = False
            piece = piece.removeprefix("\r\n") if piece[0] == "\r" else piece.removeprefix("\n")
        kept = piece[:-1] if piece.endswith("\n") else piece
        kept = kept[:-1] if kept.endswith("\r") else kept
        self._break = piece[len(kept) :]
        return kept

    def _hold(self, piece: str) -> None:
        self._held.append(piece)
        self._look_at(piece)
        self._n_held += len(piece)
        # What is long is looked at no more: it is a list or object, or nothing is left to decide.
        if self._n_held - len(piece) > _MAX_SCALAR_CHARS:
            return
        held = "".join(self._held)
        if not _may_be_json(held[: _MAX_SCALAR_CHARS + 1]) and self._takes_text():
            self._is_text = True
            self._text(held)

    def _look_at(self, piece: str) -> None:
        self._json.take(piece if self._json.kind else piece.lstrip(), 0)

    def _takes_text(self) -> bool:
        return self._kinds is None or "string" in self._kinds

    def _text(self, text: str) -> None:
        if not self._is_open:
            self._is_open = True
            self._put('"')
        text = without_lone_surrogates(text)
        self._put(json.dumps(text, ensure_ascii=False)[1:-1])


def _may_be_json(text: str) -> bool:
    begun = text.lstrip()
    return not begun or begun[0] in "{[" or _MAYBE_SCALAR.fullmatch(text) is not None


def _as_json(text: str, kinds: Kinds) -> str | None:
    """Return the value's JSON text; None where it is to be a string."""
    text = text.strip()
    kind = _json_kind(text)
    if kinds is None or "string" in kinds:
        is_other = kind not in ("", "string")
        return text if is_other and (kinds is None or _fits(kind, kinds)) else None
    if not kind:
        text = _from_python(text)
    return text if kind or _json_kind(text) else None


def _fits(kind: str, kinds: frozenset[str]) -> bool:
    return kind in kinds or (kind == "integer" and "number" in kinds)


def _json_kind(text: str) -> str:
    """Return the type of a JSON value; empty if it is none."""
    try:
        return kind_of_value(json.loads(text, parse_constant=_refuse))
    except (ValueError, RecursionError, OverflowError):
        return ""


def _from_python(text: str) -> str:
    """Return the JSON text of a Python literal: some templates show lists and objects so."""
    pieces: list[str] = []
    value = PythonValue(pieces.append)
    n_read = value.take(text + ")")
    return "".join(pieces) if value.complete and n_read == len(text) else ""


def _refuse(constant: str) -> None:
    raise ValueError(constant)
