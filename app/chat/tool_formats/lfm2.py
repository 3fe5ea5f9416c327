"""Owns the LFM2 way to call tools: Python calls in a list, `[name(key="value")]`.

Pure; must not know templates beyond the words that give the format away.
"""

from __future__ import annotations

import itertools
import json
import re
from typing import Any

from app.chat.tool_formats.base import Made, ToolFormat
from app.chat.tool_formats.python_value import PythonValue
from app.chat.tool_formats.reading import NoCall, Step
from app.chat.tool_formats.scripted import ScriptedParser

OPEN = "<|tool_call_start|>"
CLOSE = "<|tool_call_end|>"
_MARKS = (OPEN, "<|tool_list_start|>", '"List of tools: ["')  # some show tools and no calls
_TOOL = re.compile(r"[\w.-]*")
_KEY = re.compile(r"\w*")


class Lfm2Parser(ScriptedParser):
    """Parses blocks of Python calls with keywords; see `ScriptedParser`."""

    openers = (OPEN,)
    closers = (CLOSE,)

    def _block(self, opener: str) -> Step[None]:
        del opener
        yield from self._input.skip()
        yield from self._input.literal("[")
        comma = ","
        while comma:
            yield from self._input.skip()
            yield from self._call()
            yield from self._input.skip()
            comma = yield from self._input.literal(",")
        yield from self._input.literal("]")
        yield from self._input.skip()
        yield from self._input.literal(CLOSE)

    def _call(self) -> Step[None]:
        name = yield from self._input.word(_TOOL)
        yield from self._input.expect("(")
        yield from self._input.skip()
        if (yield from self._input.literal(")")):
            self._begin(name)
            self._argue("{}")
            self._end()
            return
        key = yield from self._key()
        self._begin(name)
        before, tag = "{", ","
        while tag == ",":
            self._argue(f"{before}{json.dumps(key, ensure_ascii=False)}: ")
            yield from self._value()
            before = ", "
            tag = yield from self._input.expect(",", ")")
            if tag == ",":
                key = yield from self._key()
        self._argue("}")
        self._end()

    def _key(self) -> Step[str]:
        yield from self._input.skip()
        key = yield from self._input.word(_KEY)
        yield from self._input.skip()
        yield from self._input.expect("=")
        yield from self._input.skip()
        if not key:
            raise NoCall
        return key

    def _value(self) -> Step[None]:
        value = PythonValue(self._argue)
        while True:
            self._input.take(value.take(self._input.rest))
            if value.complete:
                return
            if value.broken or not (yield from self._input.more()):
                raise NoCall


def _write(calls: Made) -> str:
    return f"{OPEN}[{', '.join(itertools.starmap(_python, calls))}]{CLOSE}"


def _python(name: str, arguments: Any) -> str:
    if not isinstance(arguments, dict):
        return f"{name}({arguments})"
    values = {
        key: json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)
        for key, value in arguments.items()
    }
    return f"{name}({', '.join(f'{key}={value}' for key, value in values.items())})"


FORMAT = ToolFormat(
    name="lfm2",
    tags=(OPEN, CLOSE),
    recognises=lambda source: any(mark in source for mark in _MARKS),
    parser=Lfm2Parser,
    write=_write,
)
