"""Owns the Kimi K3 way to answer: text, and calls with typed arguments, between tags of words.

`<|open|>response<|sep|>…<|close|>response<|sep|><|open|>tools<|sep|>…`. Pure; must not know
templates beyond the words that give the format away.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import replace

from app.chat.grammar.lark import Grammar, sequence
from app.chat.parsing.incremental import NoCall, Step
from app.chat.tool_formats.base import CallBlock, ToolFormat, ToolSpec
from app.chat.tool_formats.names import NameSyntax
from app.chat.tool_formats.syntax.argument_blocks import (
    TextSyntax,
    in_order,
    json_value,
    text_value,
)
from app.chat.tool_formats.syntax.arguments import ANY_JSON, TEXT
from app.chat.tool_formats.syntax.json_blocks import call_list
from app.chat.tool_formats.syntax.parameters import Kinds, Parameter, kind_of_option, parameters_of
from app.chat.tool_formats.syntax.tagged import TaggedParser

SEP = "<|sep|>"
TOOLS = f"<|open|>tools{SEP}"
_RESPONSE = f"<|open|>response{SEP}"
_CALL = '<|open|>call tool="'
_JSON = "<|open|>json"
_END_MESSAGE = "<|end_of_msg|>"
_TYPES = {"integer": "number"}  # where the template's word for it is another
_ATTRIBUTE = re.compile(r'[^"<>]*')
_NAMES = NameSyntax(
    '<|open|>argument key="',
    ('"',),
    re.compile(r'[^"]*'),
    escapes=(("&", "&amp;"), ('"', "&quot;")),
)


def _end(word: str) -> str:
    return f"<|close|>{word}{SEP}"


class KimiK3Parser(TaggedParser):
    """Parses text and blocks of calls; no tag is ever shown. See `ScriptedParser`."""

    openers = (
        TOOLS,
        _RESPONSE,
        *map(_end, ("think", "response", "tools", "message")),
        _END_MESSAGE,
    )
    closers = (_end("tools"),)
    names = _NAMES

    @property
    def call_openers(self) -> tuple[str, ...]:
        """The tag that begins calls."""
        return (TOOLS,)

    def _block(self, opener: str) -> Step[None]:
        if opener != TOOLS:
            return
        n_before = self._n_calls
        try:
            yield from self._calls()
        except NoCall:
            if self._n_calls > n_before:
                raise
            yield from self._drop_block()

    def _calls(self) -> Step[None]:
        yield from self._input.skip()
        while (yield from self._input.literal(_CALL)):
            name = yield from self._attribute()
            yield from self._after_name(name, self._input.until(SEP, _drop))
            self._begin_arguments(name)
            yield from self._arguments_or_json()
            yield from self._input.skip()
        yield from self._input.expect(_end("tools"))

    def _arguments_or_json(self) -> Step[None]:
        while True:
            yield from self._input.skip()
            tag = yield from self._input.expect(_NAMES.before, _JSON, _end("call"))
            if tag == _end("call"):
                self._end_arguments()
                return
            if tag == _JSON:
                break
            key, _ = yield from self._argument_name()
            how: list[str] = []
            yield from self._input.until(SEP, how.append)
            yield from self._argument(key, _end("argument"), kinds=_kinds("".join(how)))
        yield from self._input.until(SEP, _drop)
        yield from self._input.skip()
        yield from self._input.json_value(self._argue)
        self._end()
        yield from self._input.expect(_end("json"))
        yield from self._input.literal(_end("call"))

    def _attribute(self) -> Step[str]:
        value = yield from self._input.word(_ATTRIBUTE)
        yield from self._input.expect('"')
        return html.unescape(value)


def _kinds(attributes: str) -> Kinds:
    if "type=" not in attributes:
        return None
    return TEXT if 'type="string"' in attributes else ANY_JSON


def _drop(text: str) -> None:
    del text


def _block(grammar: Grammar, tools: Sequence[ToolSpec], one: bool) -> CallBlock:
    number = grammar.pattern("[0-9]{1,4}")
    calls = []
    for tool in tools:

        def argument(parameter: Parameter, tool: ToolSpec = tool) -> str:
            return _argument(grammar, parameter, tool.is_strict)

        header = grammar.literal(f'{_CALL}{html.escape(tool.name)}" index="')
        arguments = in_order(parameters_of(tool.parameters, is_strict=tool.is_strict), argument)
        rest = grammar.literal(f'"{SEP}'), arguments, grammar.literal(_end("call"))
        calls.append(sequence(header, number, *rest))
    listed = call_list(grammar, calls, one, separator="")
    # A response comes before calls, be it empty.
    before = f"{_RESPONSE}{_end('response')}"
    return CallBlock(TOOLS, sequence(listed, grammar.literal(_end("tools"))), before=before)


def _argument(grammar: Grammar, parameter: Parameter, is_strict: bool) -> str:
    header = grammar.literal(_NAMES.written(parameter.name) + ' type="')
    end, options = TextSyntax(_end("argument")), []
    text = text_value(grammar, parameter, end, is_strict=is_strict)
    if text:
        options.append(sequence(grammar.literal(f'string"{SEP}'), text))
    for option in parameter.options:
        kind = kind_of_option(option)
        if kind not in (None, "string"):
            one = replace(parameter, schema=option)
            json = json_value(grammar, one, is_strict=is_strict)
            named = grammar.literal(f'{_TYPES.get(kind, kind)}"{SEP}')
            options.append(sequence(named, json, grammar.literal(end.end)))
    return sequence(header, grammar.either(options))


FORMAT = ToolFormat(
    name="kimi-k3",
    tags=("<|open|>", "<|close|>", SEP, _END_MESSAGE),
    recognises=lambda source: "open_tag('tools'" in source,
    parser=KimiK3Parser,
    names=_NAMES,
    block=_block,
    always=True,
    header=_RESPONSE,
)
