"""Owns the LFM2 way to call tools: Python calls in a list, `[name(key="value")]`.

Pure; must not know templates beyond the words that give the format away.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from app.base.json_types import JsonObject
from app.chat.grammar.lark import Grammar, sequence
from app.chat.parsing.incremental import NoCall, Step
from app.chat.tool_formats.base import CallBlock, MadeCalls, ToolFormat, ToolSpec
from app.chat.tool_formats.names import NameSyntax
from app.chat.tool_formats.syntax.argument_blocks import json_value, listed_texts, separated
from app.chat.tool_formats.syntax.json_blocks import call_list
from app.chat.tool_formats.syntax.parameters import (
    Parameter,
    kind_of_option,
    names_in,
    parameters_of,
)
from app.chat.tool_formats.syntax.python_value import PythonValue
from app.chat.tool_formats.syntax.scripted import ScriptedParser

OPEN = "<|tool_call_start|>"
CLOSE = "<|tool_call_end|>"
_MARKS = (OPEN, "<|tool_list_start|>", '"List of tools: ["')  # some show tools and no calls
_NAME = re.compile(r"[\w.-]*")
_NAMES = NameSyntax(ends=("=",), unknown=re.compile(r"[^=(),'\"{}\n]*"))
_QUOTED = r"'(?:[^'\\]|\\[\\'\"/bfnrt])*'"


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
        name = yield from self._input.word(_NAME)
        yield from self._input.expect("(")
        schema = self._offered.get(name) if isinstance(self._offered, Mapping) else None
        names = names_in(schema, schema)
        key = yield from self._after_name(name, self._first_key(names))
        self._begin(name)
        if key is None:
            self._argue("{}")
            self._end()
            return
        before, tag = "{", ","
        while tag == ",":
            self._argue(f"{before}{json.dumps(key, ensure_ascii=False)}: ")
            yield from self._value()
            before = ", "
            tag = yield from self._input.expect(",", ")")
            if tag == ",":
                yield from self._input.literal(" ")  # others belong to the name
                key = yield from self._key(names)
        self._argue("}")
        self._end()

    def _first_key(self, names: Sequence[str]) -> Step[str | None]:
        """Read a name; None where the call has no arguments."""
        found = yield from _NAMES.offered(self._input, names)
        if not found:
            yield from self._input.skip()
            if (yield from self._input.literal(")")):
                return None
        return found[0] if found else (yield from self._key(names))

    def _key(self, names: Sequence[str]) -> Step[str]:
        found = yield from _NAMES.offered(self._input, names)
        if not found:
            yield from self._input.skip()
            found = yield from _NAMES.read(self._input, names)
        return found[0]

    def _value(self) -> Step[None]:
        yield from self._input.skip()
        value = PythonValue(self._argue)
        while True:
            self._input.take(value.take(self._input.rest))
            if value.complete:
                return
            if value.broken or not (yield from self._input.more()):
                raise NoCall


def _write(calls: MadeCalls) -> str:
    return f"{OPEN}[{', '.join(itertools.starmap(_python, calls))}]{CLOSE}"


def _python(name: str, arguments: Any) -> str:
    if not isinstance(arguments, dict):
        return f"{name}({arguments})"
    values = {
        key: json.dumps(value, ensure_ascii=False)
        if isinstance(value, str | list | dict)
        else repr(value)
        for key, value in arguments.items()
    }
    return f"{name}({', '.join(f'{key}={value}' for key, value in values.items())})"


def _block(grammar: Grammar, tools: Sequence[ToolSpec], one: bool) -> CallBlock:
    calls = [_call(grammar, tool) for tool in tools]
    listed = call_list(grammar, calls, one)
    return CallBlock(OPEN, sequence(grammar.literal("["), listed, grammar.literal(f"]{CLOSE}")))


def _call(grammar: Grammar, tool: ToolSpec) -> str:
    def argument(parameter: Parameter) -> str:
        return _argument(grammar, parameter, tool.is_strict)

    arguments = separated(
        grammar, parameters_of(tool.parameters, is_strict=tool.is_strict), argument, ", ", ")"
    )
    return sequence(grammar.literal(f"{tool.name}("), arguments)


def _argument(grammar: Grammar, parameter: Parameter, is_strict: bool) -> str:
    options = []
    for option in parameter.options:
        if kind_of_option(option) in (None, "string"):
            options += _texts(grammar, option, is_strict)
    other = json_value(grammar, parameter, is_strict=is_strict, python_words=True)
    options += [other] if other else []
    return sequence(grammar.literal(_NAMES.written(parameter.name)), grammar.either(options))


def _texts(grammar: Grammar, option: JsonObject, is_strict: bool) -> list[str]:
    """Return expressions for a text in either kind of quotes; the older templates use double."""
    options = [grammar.schema(option, is_strict=is_strict)]
    listed = listed_texts(option)
    if listed is not None:
        texts = (json.dumps(text, ensure_ascii=False)[1:-1] for text in listed)
        quoted = (text.replace('\\"', '"').replace("'", "\\'") for text in texts)
        options += [grammar.literal(f"'{text}'") for text in quoted]
    elif not option.keys() & {"pattern", "format", "minLength", "maxLength", "allOf"}:
        options.append(grammar.pattern(_QUOTED))
    return options


FORMAT = ToolFormat(
    name="lfm2",
    tags=(OPEN, CLOSE),
    recognises=lambda source: any(mark in source for mark in _MARKS),
    parser=Lfm2Parser,
    names=_NAMES,
    write=_write,
    block=_block,
)
