"""Owns reading one call written as a JSON object, `{"name": …, "arguments": …}`, as it arrives.

Pure; must not know what stands around the object. `parameters` is taken for `arguments`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterable
from enum import Enum, auto
from typing import Any

from app.base.json_types import without_lone_surrogates
from app.chat.parsing.call_arguments import ArgumentsText
from app.chat.parsing.json_value import SPACE, JsonValue
from app.chat.parsing.stream_parser import CallArguments, CallEnd, CallStart, StreamEvent

_ARGUMENT_KEYS = ("arguments", "parameters")
_BARE_KEYS = (*_ARGUMENT_KEYS, "name", "type", "id")


class Progress(Enum):
    """How far a call object has been read."""

    READING = auto()
    COMPLETE = auto()
    BROKEN = auto()


class _Expect(Enum):
    OPENING = auto()
    KEY = auto()
    KEY_TEXT = auto()
    COLON = auto()
    VALUE = auto()
    VALUE_TEXT = auto()


class JsonCallReader:
    """Reads one call object; text in, call events and the unread rest out.

    Arguments that are no JSON object have no `CallEnd`.

    Args:
        index: the call's index within the answer.
        name_key: the key of the tool's name.
        bare: nothing but its keys tells the object from other JSON; so all of them have to be a
            call's, and arguments have to come.
        names: those that a call may have (None: any).
    """

    def __init__(
        self,
        index: int,
        *,
        name_key: str = "name",
        bare: bool = False,
        names: Container[str] | None = None,
    ) -> None:
        self.progress = Progress.READING
        self.started = False
        self._index = index
        self._name_key = name_key
        self._bare = bare
        self._names = names
        self._name = ""
        self._expect = _Expect.OPENING
        self._value = JsonValue()
        # Of a key, a name, or arguments that cannot be passed on as they come.
        self._raw: list[str] = []
        self._key = ""
        self._before_name: list[str] = []  # arguments that came before the name
        self._arguments = ArgumentsText()
        self._arguments_seen = False
        self._arguments_whole = False
        self._events: list[StreamEvent] = []

    def feed(self, text: str) -> tuple[list[StreamEvent], str]:
        """Return events, and what is left of `text` once the call is complete or broken.

        A broken call (see `progress`) that has not `started` gave no events at all.
        """
        at = 0
        while at < len(text) and self.progress is Progress.READING:
            at = self._step(text, at)
        return self._taken(), text[at:]

    def finish(self) -> list[StreamEvent]:
        """Return the end of a call whose arguments are whole, where only a brace is missing."""
        if self.progress is Progress.READING and self._names and self._name and not self.started:
            self._start()
        if self.progress is Progress.READING and self.started and self._arguments_whole:
            self._end()
        return self._taken()

    def begins_name(self, names: Iterable[str]) -> bool:
        """Return whether what was read ends within the name of one of these tools."""
        is_name = self._expect is _Expect.VALUE_TEXT and self._key == self._name_key
        part = "".join(self._raw)
        return is_name and any(json.dumps(name).startswith(part) for name in names)

    def _taken(self) -> list[StreamEvent]:
        events, self._events = self._events, []
        return events

    def _step(self, text: str, at: int) -> int:
        char = text[at]
        match self._expect:
            case _Expect.KEY_TEXT | _Expect.VALUE_TEXT:
                return self._take_value(text, at)
            case _Expect.KEY if char == ",":
                return at + 1
            case _ if char in SPACE:
                return at + 1
            case _Expect.OPENING if char == "{":
                self._expect = _Expect.KEY
            case _Expect.COLON if char == ":":
                self._expect = _Expect.VALUE
            case _Expect.KEY if char == "}":
                self._close()
            case _Expect.KEY if char == '"':
                self._begin_value(_Expect.KEY_TEXT)
                return at
            case _Expect.VALUE:
                self._begin_value(_Expect.VALUE_TEXT)
                return at
            case _:
                self._break()
                return at
        return at + 1

    def _begin_value(self, expect: _Expect) -> None:
        self._expect, self._value, self._raw = expect, JsonValue(), []

    def _take_value(self, text: str, at: int) -> int:
        end = self._value.take(text, at)
        if self._expect is _Expect.KEY_TEXT:
            self._raw.append(text[at:end])
            if self._value.complete:
                self._key_done()
            return end
        self._value_piece(text[at:end])
        if self._value.broken:
            self._break()
        elif self._value.complete:
            self._value_done()
            self._expect = _Expect.KEY
        return end

    def _key_done(self) -> None:
        self._key = _decoded("".join(self._raw)) or ""
        self._expect = _Expect.COLON
        if self._bare and self._key not in _BARE_KEYS:
            self._break()

    def _is_arguments(self) -> bool:
        return self._key in _ARGUMENT_KEYS and not self._arguments_whole

    def _value_piece(self, piece: str) -> None:
        if not piece:
            return
        if self._is_arguments() and self._value.kind == "{":
            self._pass_on(piece)
        elif self._is_arguments() or self._key == self._name_key:
            self._raw.append(piece)

    def _value_done(self) -> None:
        if self._is_arguments():
            self._arguments_whole = True
            if self._value.kind != "{":
                self._pass_on(_scalar_arguments("".join(self._raw)))
        elif self._key == self._name_key and not self._name:
            self._name = (_decoded("".join(self._raw)) or "").strip()
            if not self._name or (self._names is not None and self._name not in self._names):
                self._break()
            elif self._arguments_seen or not self._bare:
                self._start()

    def _start(self) -> None:
        self.started = True
        self._events.append(CallStart(self._index, self._name))
        self._pass_on("".join(self._before_name))

    def _pass_on(self, piece: str) -> None:
        self._arguments_seen = self._arguments_seen or bool(piece)
        if self._name and not self.started:
            self._start()
        if not self.started:
            self._before_name.append(piece)
        elif strict := self._arguments.take(piece):
            self._events.append(CallArguments(self._index, strict))

    def _close(self) -> None:
        if not self.started:
            self.progress = Progress.BROKEN
            return
        if not self._arguments_seen:
            self._pass_on("{}")
        self._end()

    def _break(self) -> None:
        if self.started and self._arguments_whole:
            self._end()
        else:
            self.progress = Progress.BROKEN

    def _end(self) -> None:
        if self._arguments.are_whole:
            self._events.append(CallEnd(self._index))
        self.progress = Progress.COMPLETE


def call_text(name: str, arguments: Any) -> str:
    """Return a call as such an object; arguments that are text already are taken as they are."""
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return f'{{"name": {json.dumps(name, ensure_ascii=False)}, "arguments": {text}}}'


def _decoded(raw: str) -> str | None:
    """Return the text that a JSON string stands for; None where it is no JSON string."""
    try:
        value = json.loads(raw, strict=False)
    except ValueError:
        return None
    return without_lone_surrogates(value) if isinstance(value, str) else None


def _scalar_arguments(raw: str) -> str:
    """Return arguments that are no object: JSON inside a string is taken out.

    Those that say that there are none are an empty object.
    """
    text = _decoded(raw) if raw.startswith('"') else raw
    if text is None:
        return raw
    return "{}" if re.sub(r"\s", "", text) in ("", "null", "[]") else text
