"""Owns the Gemma 4 way to call tools: `<|tool_call>call:name{key:<|"|>text<|"|>}<tool_call|>`.

Pure; must not know templates beyond the words that give the format away.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from app.base.json_types import JsonObject, without_lone_surrogates
from app.chat.grammar.lark import Grammar, sequence
from app.chat.parsing.incremental import NoCall, Step
from app.chat.tool_formats.base import CallBlock, ToolFormat, ToolSpec
from app.chat.tool_formats.names import NameSyntax
from app.chat.tool_formats.syntax.argument_blocks import (
    TextSyntax,
    json_value,
    separated,
    text_value,
)
from app.chat.tool_formats.syntax.parameters import (
    NOTES,
    Parameter,
    fields_of,
    items_in,
    items_of,
    kind_of_option,
    names_in,
    parameters_of,
    property_of,
)
from app.chat.tool_formats.syntax.scripted import ScriptedParser

OPEN = "<|tool_call>"
CLOSE = "<tool_call|>"
QUOTE = '<|"|>'
_RESPONSE = "<|tool_response>"  # where a model waits for results, or imagines them
_END_RESPONSE = "<tool_response|>"
_MAX_DEPTH = 64
_NAME = re.compile(r"[^{}<>\s]*")
_NAMES = NameSyntax(ends=(":",), unknown=re.compile(r"[^:{},<>\"]*"), n_nested=4)
_SCALAR = re.compile(r"[^,{}\[\]<>\"]*")
_ANY_KEY = "[A-Za-z_][A-Za-z0-9_.-]{0,63}"
_NO_NUMBERS = ("NaN", "Infinity", "-Infinity")  # which Python's JSON takes
_WORDS = {"True": "true", "False": "false", "None": "null"}


class GemmaParser(ScriptedParser):
    """Parses blocks of one call, whose arguments are nearly JSON; see `ScriptedParser`."""

    openers = (OPEN, _RESPONSE)
    closers = (CLOSE, _END_RESPONSE)
    _root: Any = None  # the schema of the tool that is called

    @property
    def call_openers(self) -> tuple[str, ...]:
        """The tag that begins calls."""
        return (OPEN,)

    def _block(self, opener: str) -> Step[None]:
        if opener == _RESPONSE:
            yield from self._drop_block()
            return
        yield from self._input.skip()
        yield from self._input.expect("call:")
        name = yield from self._input.word(_NAME)
        yield from self._input.skip()
        yield from self._input.expect("{")
        self._begin(name)
        self._root = self._offered.get(name) if isinstance(self._offered, Mapping) else None
        yield from self._fields(self._root, 0)
        self._end()
        yield from self._input.skip()
        yield from self._input.literal(CLOSE)

    def _fields(self, schema: Any, depth: int) -> Step[None]:
        """Read an object after its brace."""
        names = names_in(schema, self._root)
        self._argue("{")
        key = yield from self._offered_key(names)
        if key is None and (yield from self._input.literal("}")):
            self._argue("}")
            return
        tag = ","
        while tag == ",":
            if key is None:
                key = yield from self._key()
            self._argue(f"{_json(key)}: ")
            yield from self._value(property_of(schema, key, self._root), depth)
            yield from self._input.skip()
            tag = yield from self._input.expect(",", "}")
            if tag == ",":
                self._argue(", ")
                key = yield from self._offered_key(names)
        self._argue("}")

    def _offered_key(self, names: Sequence[str]) -> Step[str | None]:
        """Read one of `names`, or the whitespace before another one."""
        found = yield from _NAMES.offered(self._input, names)
        if not found:
            yield from self._input.skip()
            found = yield from _NAMES.offered(self._input, names)
        return found[0] if found else None

    def _key(self) -> Step[str]:
        pieces: list[str] = []
        if (yield from self._input.literal(QUOTE)):
            yield from self._input.until(QUOTE, pieces.append)
            key = "".join(pieces)
        elif (yield from self._input.peek()) == '"':
            yield from self._input.json_value(pieces.append)
            key = _decoded("".join(pieces))
        else:
            key, _ = yield from _NAMES.read(self._input)
            return key
        yield from self._input.skip()
        yield from self._input.expect(*_NAMES.ends)
        return key

    def _value(self, schema: Any, depth: int) -> Step[None]:
        yield from self._input.skip()
        if (yield from self._input.literal(QUOTE)):
            self._argue('"')
            yield from self._input.until(QUOTE, lambda text: self._argue(_json(text)[1:-1]))
            self._argue('"')
            return
        char = yield from self._input.peek()
        if depth == _MAX_DEPTH:
            raise NoCall
        if char == "{":
            self._input.take(1)
            yield from self._fields(schema, depth + 1)
        elif char == "[":
            self._input.take(1)
            yield from self._items(items_of(schema, self._root), depth + 1)
        elif char == '"':
            yield from self._input.json_value(self._argue)
        else:
            word = (yield from self._input.word(_SCALAR)).strip()
            self._argue(_scalar(word))

    def _items(self, schema: Any, depth: int) -> Step[None]:
        """Read a list after its bracket."""
        self._argue("[")
        yield from self._input.skip()
        tag = yield from self._input.literal("]")
        while tag != "]":
            yield from self._value(schema, depth)
            yield from self._input.skip()
            tag = yield from self._input.expect(",", "]")
            self._argue(", " if tag == "," else "")
        self._argue("]")


def _scalar(word: str) -> str:
    word = _WORDS.get(word, word)
    try:
        json.loads(word)
    except ValueError:
        return _json(word)
    return word if word not in _NO_NUMBERS else _json(word)


def _decoded(json_text: str) -> str:
    """Return the text that a JSON string stands for.

    Raises:
        NoCall: it is none.
    """
    try:
        value = json.loads(json_text)
    except ValueError:
        raise NoCall from None
    return str(value)


def _json(text: str) -> str:
    return json.dumps(without_lone_surrogates(text), ensure_ascii=False)


def _block(grammar: Grammar, tools: Sequence[ToolSpec], one: bool) -> CallBlock:
    del one  # a block has one call
    calls = []
    for tool in tools:
        header = grammar.literal(f"call:{tool.name}{{")
        fields = _written_fields(
            grammar, parameters_of(tool.parameters, is_strict=tool.is_strict), _NAMES.n_nested, tool
        )
        calls.append(sequence(header, fields))
    return CallBlock(OPEN, sequence(grammar.either(calls), grammar.literal(CLOSE)))


def _written_fields(
    grammar: Grammar, parameters: Iterable[Parameter], depth: int, tool: ToolSpec
) -> str:
    """Return the expression for the fields of an object and its closing brace."""

    def field(known: Parameter) -> str:
        written = _written(grammar, known, depth, tool)
        return sequence(grammar.literal(_NAMES.written(known.name)), written)

    in_order = sorted(parameters, key=lambda known: known.name.lower())  # as the template has them
    return separated(grammar, in_order, field, ",", "}")


def _written(grammar: Grammar, parameter: Parameter, depth: int, tool: ToolSpec) -> str:
    options = []
    if any(kind_of_option(option) == "string" for option in parameter.options):
        text = text_value(grammar, parameter, TextSyntax(QUOTE), is_strict=tool.is_strict)
        options.append(sequence(grammar.literal(QUOTE), text))
    for option in parameter.options:
        match kind_of_option(option):
            case "string":
                pass
            case None:
                options.append(_anything(grammar))
            case "object" | "array":
                options.append(_nested(grammar, option, depth, tool))
            case _:
                one = Parameter(parameter.name, option, is_required=True)
                options.append(
                    json_value(grammar, one, is_strict=tool.is_strict, python_words=True)
                )
    return grammar.either(list(dict.fromkeys(options)))


def _nested(grammar: Grammar, option: JsonObject, depth: int, tool: ToolSpec) -> str:
    """Return the expression for an object or list; as JSON where its schema is not a plain one."""
    fields, items = fields_of(option), items_in(option)
    if depth and fields is not None:
        rest = _written_fields(grammar, fields, depth - 1, tool)
        return sequence(grammar.literal("{"), rest)
    if depth and items is not None:
        item, least, most = items
        written = _written(grammar, item, depth - 1, tool)
        several = grammar.repeated(written, ",", least, most)
        return sequence(grammar.literal("["), several, grammar.literal("]"))
    if option["type"] == "object" and option.keys() <= {"type", *NOTES}:
        return _any_object(grammar, _anything(grammar))
    return grammar.schema(option, is_strict=tool.is_strict, is_dense=True)


def _anything(grammar: Grammar) -> str:
    def value(itself: str) -> str:
        texts = sequence(grammar.literal(QUOTE), grammar.text_before(QUOTE))
        scalars = grammar.pattern(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?|true|false|null|None")
        items = sequence(grammar.literal("["), grammar.repeated(itself, ","), grammar.literal("]"))
        return " | ".join([texts, scalars, items, _any_object(grammar, itself)])

    return grammar.recursive(value)


def _any_object(grammar: Grammar, value: str) -> str:
    field = sequence(grammar.pattern(_ANY_KEY), grammar.literal(":"), value)
    return sequence(grammar.literal("{"), grammar.repeated(field, ","), grammar.literal("}"))


FORMAT = ToolFormat(
    name="gemma",
    tags=(OPEN, CLOSE, QUOTE, _RESPONSE, _END_RESPONSE),
    recognises=lambda source: OPEN in source and QUOTE in source,
    parser=GemmaParser,
    names=_NAMES,
    block=_block,
)
