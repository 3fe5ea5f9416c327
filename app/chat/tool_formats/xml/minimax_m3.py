"""Owns the MiniMax M3 way to call tools: XML whose tags have a mark before them, nested as needed.

`]<]minimax[>[<tool_call>`, then `<invoke name="…">`, and in it an element for each argument; lists
are elements `item`. Pure; must not know templates beyond the words that give the format away.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from app.base.json_types import JsonObject, without_lone_surrogates
from app.chat.grammar.lark import Grammar, sequence
from app.chat.parsing.incremental import NoCall, Step
from app.chat.tool_formats.base import CallBlock, Opening, ToolFormat, ToolSpec
from app.chat.tool_formats.names import NameSyntax
from app.chat.tool_formats.syntax.argument_blocks import TextSyntax, in_order, value
from app.chat.tool_formats.syntax.arguments import Value
from app.chat.tool_formats.syntax.json_blocks import call_list
from app.chat.tool_formats.syntax.parameters import (
    Parameter,
    fields_of,
    items_in,
    items_of,
    kind_of_option,
    kinds_in,
    names_in,
    parameters_of,
    property_of,
)
from app.chat.tool_formats.syntax.scripted import ScriptedParser

MARK = "]<]minimax[>["
_CALL = f'{MARK}<invoke name="'
_OPEN = f"{MARK}<"
_ITEM = "item"
_WITH_ELEMENTS = frozenset({"object", "array"})
_MAX_DEPTH = 64
_NAME = re.compile(r"[^<>\"\s]*")
_NAMES = NameSyntax(
    _OPEN,
    ends=(">",),
    unknown=re.compile(r"[^<>]*"),
    closing=f"{MARK}</",
    around="invoke",
    n_nested=4,
    is_exact=True,
)
_END_CALL = _NAMES.closed("invoke")


class MiniMaxM3Parser(ScriptedParser):
    """Parses blocks of calls; schemas tell numbers from texts. See `ScriptedParser`."""

    openers = (f"{MARK}<tool_call>", _CALL)
    closers = (f"{MARK}</tool_call>",)
    calls_end_thoughts = True
    _root: Any = None  # the schema of the tool that is called

    def _block(self, opener: str) -> Step[None]:
        tag = opener
        while tag and tag not in self.closers:
            if tag != _CALL:
                yield from self._input.skip()
                yield from self._input.expect(_CALL)
            yield from self._call()
            yield from self._input.skip()
            tag = yield from self._input.literal(_CALL, *self.closers)

    def _call(self) -> Step[None]:
        name = yield from self._input.word(_NAME)
        yield from self._input.expect('">')
        yield from self._input.skip()
        tag = yield from self._after_name(name, self._input.expect(_OPEN, _END_CALL))
        self._begin(name)
        schema = self._offered.get(name) if isinstance(self._offered, Mapping) else None
        self._root = schema
        if tag == _END_CALL:
            self._argue("{}")
        else:
            key = yield from self._key(names_in(schema, schema))
            yield from self._object_from(key, schema, _END_CALL, 0)
        self._end()

    def _key(self, names: Sequence[str]) -> Step[str]:
        """Read the name of an element whose opening has begun."""
        key, _ = yield from _NAMES.read(self._input, names)
        return key

    def _object_from(self, key: str, schema: Any, end: str, depth: int) -> Step[None]:
        """Read an object up to its `end`; the opening tag of its first element was read."""
        names = names_in(schema, self._root)
        before, tag = "{", _OPEN
        while tag == _OPEN:
            self._argue(f"{before}{_json(key)}: ")
            yield from self._element(key, property_of(schema, key, self._root), depth)
            before = ", "
            yield from self._input.skip()
            tag = yield from self._input.expect(_OPEN, end)
            if tag == _OPEN:
                key = yield from self._key(names)
        self._argue("}")

    def _list_from(self, schema: Any, end: str, depth: int) -> Step[None]:
        """Read a list up to its `end`; the opening tag of its first item was read."""
        items = items_of(schema, self._root)
        before, tag = "[", _OPEN
        while tag == _OPEN:
            self._argue(before)
            yield from self._element(_ITEM, items, depth)
            before = ", "
            yield from self._input.skip()
            tag = yield from self._input.expect(_OPEN, end)
            if tag == _OPEN:
                yield from self._input.expect(f"{_ITEM}>")
        self._argue("]")

    def _element(self, key: str, schema: Any, depth: int) -> Step[None]:
        """Read the value of the element `key` and its closing tag."""
        if depth == _MAX_DEPTH:
            raise NoCall
        end = _NAMES.closed(key)
        self._input.record("")
        yield from self._input.skip()
        space = self._input.forget()
        kinds = kinds_in(schema, self._root)
        is_text = kinds is not None and "string" in kinds and not kinds & _WITH_ELEMENTS
        tag = yield from self._input.literal(*((end,) if is_text else (_OPEN, end)))
        if tag == _OPEN:
            first = yield from self._key(names_in(schema, self._root))
            if first == _ITEM and kinds != frozenset({"object"}):
                yield from self._list_from(schema, end, depth + 1)
            else:
                yield from self._object_from(first, schema, end, depth + 1)
            return
        read = Value(self._argue, kinds, is_line=False)
        read.write(space)
        if tag != end:
            yield from self._input.until(end, read.write)
        elif kinds in (frozenset({"array"}), frozenset({"object"})):
            read.write("[]" if kinds == frozenset({"array"}) else "{}")
        while read.in_json_string:
            read.write(end)
            yield from self._input.until(end, read.write)
        read.close()


def _json(text: str) -> str:
    return json.dumps(without_lone_surrogates(text), ensure_ascii=False)


def _block(grammar: Grammar, tools: Sequence[ToolSpec], one: bool) -> CallBlock:
    calls = []
    for tool in tools:
        header = grammar.literal(f'{_CALL}{tool.name}">')
        arguments = _elements(
            grammar, parameters_of(tool.parameters, is_strict=tool.is_strict), _NAMES.n_nested, tool
        )
        calls.append(sequence(header, arguments, grammar.literal(f"{_END_CALL}\n")))
    listed = call_list(grammar, calls, one, separator="")
    tag, end = MiniMaxM3Parser.openers[0], MiniMaxM3Parser.closers[0]
    body = sequence(grammar.literal("\n"), listed, grammar.literal(end))
    return CallBlock(tag, body, openings=(Opening(_CALL, f"{tag}\n{_CALL}"),))


def _elements(grammar: Grammar, parameters: Sequence[Parameter], depth: int, tool: ToolSpec) -> str:
    return in_order(parameters, lambda known: _written(grammar, known, depth, tool))


def _written(grammar: Grammar, parameter: Parameter, depth: int, tool: ToolSpec) -> str:
    """Return the expression for an element.

    Lists and objects in unions of types may be JSON. They may be elements too where it is certain
    how those are read: they are some, and of one list or object.
    """
    start, end = _NAMES.written(parameter.name), _NAMES.closed(parameter.name)
    nested = _nested(grammar, parameter.options[0], depth, tool)
    if nested is not None and len(parameter.options) == 1:
        return sequence(grammar.literal(start), nested, grammar.literal(end))
    written = value(grammar, parameter, TextSyntax(end, stop=MARK), is_strict=tool.is_strict)
    for kind in ("array", "object"):
        alike = [option for option in parameter.options if kind_of_option(option) == kind]
        filled = _filled(grammar, alike[0], depth, tool) if len(alike) == 1 else ""
        if filled:
            written = grammar.either([sequence(filled, grammar.literal(end)), written])
    return sequence(grammar.literal(start), written)


def _nested(grammar: Grammar, option: JsonObject, depth: int, tool: ToolSpec) -> str | None:
    fields, items = fields_of(option), items_in(option)
    if depth and fields is not None:
        return _elements(grammar, fields, depth - 1, tool)
    if depth and items is not None:
        item, least, most = items
        return grammar.repeated(_written(grammar, item, depth - 1, tool), "", least, most)
    return None


def _filled(grammar: Grammar, option: JsonObject, depth: int, tool: ToolSpec) -> str:
    """Return the expression for a list or object with elements; empty where there is none."""
    fields, items = fields_of(option), items_in(option)
    if not depth:
        return ""
    if items is not None:
        item, least, most = items
        written = _written(grammar, item, depth - 1, tool)
        return grammar.repeated(written, "", max(least, 1), most)
    if not fields or any(known.name == _ITEM for known in fields):
        return ""
    rest, options = "", list[str]()
    for known in reversed(fields):
        rest_after, text = rest, grammar.rule(_written(grammar, known, depth - 1, tool))
        begun = grammar.rule(sequence(text, rest_after))
        options = [begun] if known.is_required else [begun, *options]
        rest = begun if known.is_required else grammar.rule(f"({text})? {rest_after}")
    return grammar.either(options)


FORMAT = ToolFormat(
    name="minimax-m3",
    tags=(MARK, "<tool_call>", "</tool_call>"),
    recognises=lambda source: MARK in source and '<invoke name="' in source,
    parser=MiniMaxM3Parser,
    names=_NAMES,
    block=_block,
)
