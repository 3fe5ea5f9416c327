"""Owns the ways to call tools in XML of MiniMax M2, DeepSeek V3.2 and V4, and MiniCPM 5.

Pure; must not know templates beyond the words that give the formats away.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import ClassVar

from app.chat.grammar.lark import Grammar, sequence
from app.chat.parsing.incremental import Step
from app.chat.tool_formats.base import CallBlock, Opening, ToolFormat, ToolSpec
from app.chat.tool_formats.names import NameSyntax
from app.chat.tool_formats.syntax.argument_blocks import (
    TextSyntax,
    in_order,
    json_value,
    text_value,
    value,
)
from app.chat.tool_formats.syntax.arguments import ANY_JSON, TEXT
from app.chat.tool_formats.syntax.json_blocks import call_list
from app.chat.tool_formats.syntax.parameters import Kinds, Parameter, parameters_of
from app.chat.tool_formats.syntax.tagged import TaggedParser

DSML = "\uff5cDSML\uff5c"
_MINIMAX = "<minimax:tool_call>"
_NAME = re.compile(r"[^<>\"\s]*")
_CDATA = "<![CDATA["
_FUNCTION = '<function name="'


def parameter_names(tag: str) -> NameSyntax:
    """Return how the names of parameters are written in tags of this name."""
    ends = ('">', '" string="true">', '" string="false">')
    return NameSyntax(f'<{tag} name="', ends, re.compile(r"[^<>\"]*"))


class InvokeParser(TaggedParser):
    """Parses `<invoke name="…"><parameter name="…">value</parameter></invoke>`.

    DeepSeek's parameters say themselves whether they are text, and so do MiniCPM's in `CDATA`.
    See `ScriptedParser`.

    Attributes:
        call: name of the tag of a call.
        parameter: name of the tag of a parameter.
        has_cdata: text may stand in `CDATA`.
    """

    call: ClassVar[str] = "invoke"
    parameter: ClassVar[str] = "parameter"
    has_cdata: ClassVar[bool] = False
    openers: ClassVar[tuple[str, ...]] = (_MINIMAX, '<invoke name="')
    closers: ClassVar[tuple[str, ...]] = ("</minimax:tool_call>",)
    names: ClassVar[NameSyntax] = parameter_names("parameter")

    def _block(self, opener: str) -> Step[None]:
        call = f'<{self.call} name="'
        tag = opener
        while tag and tag not in self.closers:
            if tag != call:
                yield from self._input.skip()
                yield from self._input.expect(call)
            yield from self._call()
            yield from self._input.skip()
            tag = yield from self._input.literal(call, *self.closers)

    def _call(self) -> Step[None]:
        parameter, end = self.names.before, f"</{self.call}>"
        name = yield from self._input.word(_NAME)
        yield from self._input.expect('">')
        yield from self._input.skip()
        tag = yield from self._after_name(name, self._input.expect(parameter, end))
        self._begin_arguments(name)
        while tag == parameter:
            yield from self._parameter()
            yield from self._input.skip()
            tag = yield from self._input.expect(parameter, end)
        self._end_arguments()

    def _parameter(self) -> Step[None]:
        end = f"</{self.parameter}>"
        key, how = yield from self._argument_name()
        if self.has_cdata and (yield from self._input.literal(_CDATA)):
            yield from self._argument(key, "]]>", kinds=TEXT)
            yield from self._input.expect(end)
        else:
            yield from self._argument(key, end, kinds=self._kinds(how))

    def _kinds(self, how: str) -> Kinds:
        if "string" not in how:
            return None
        return TEXT if "true" in how else ANY_JSON


class DsmlParser(InvokeParser):
    """The same with a mark in each tag."""

    call = f"{DSML}invoke"
    parameter = f"{DSML}parameter"
    openers = (f"<{DSML}function_calls>", f"<{DSML}tool_calls>", f'<{DSML}invoke name="')
    closers = (f"</{DSML}function_calls>", f"</{DSML}tool_calls>")
    names = parameter_names(parameter)


class MiniCpmParser(InvokeParser):
    """The same with other names and nothing around the calls."""

    call = "function"
    parameter = "param"
    has_cdata = True
    openers = (_FUNCTION,)
    closers = ()
    names = parameter_names(parameter)


Argument = Callable[[Grammar, Parameter, bool], str]
Block = Callable[[Grammar, Sequence[ToolSpec], bool], CallBlock]


def _dsml_argument(grammar: Grammar, parameter: Parameter, is_strict: bool) -> str:
    end = f"</{DSML}parameter>"
    _, *typed = DsmlParser.names.ends
    is_text, is_json = (DsmlParser.names.written(parameter.name, end) for end in typed)
    how = TextSyntax(f"{end}\n", stop=end)
    text = text_value(grammar, parameter, how, is_strict=is_strict)
    json = json_value(grammar, parameter, is_strict=is_strict)
    options = [sequence(grammar.literal(is_text), text)] if text else []
    if json:
        options.append(sequence(grammar.literal(is_json), json, grammar.literal(how.end)))
    return grammar.either(options)


def _minicpm_argument(grammar: Grammar, parameter: Parameter, is_strict: bool) -> str:
    # Its template asks for CDATA where text has such characters, and shows lists and objects as
    # Python does; models are held to JSON.
    plain = TextSyntax("</param>", allowed=(r"[^<&\n]*",))
    marked = TextSyntax("]]></param>", stop="]]>")
    json = json_value(grammar, parameter, is_strict=is_strict, python_words=True)
    options = [sequence(json, grammar.literal(plain.end))] if json else []
    for before, how in (("", plain), (_CDATA, marked)):
        text = text_value(grammar, parameter, how, is_strict=is_strict)
        if text:
            options.append(sequence(grammar.literal(before) if before else "", text))
    header = grammar.literal(MiniCpmParser.names.written(parameter.name))
    return sequence(header, grammar.either(options))


def _call(grammar: Grammar, tool: ToolSpec, before: str, argument: Argument, after: str) -> str:
    """Return the expression for a call: name and arguments between texts."""

    def written(parameter: Parameter) -> str:
        return argument(grammar, parameter, tool.is_strict)

    header = grammar.literal(before.format(tool.name))
    parameters = parameters_of(tool.parameters, is_strict=tool.is_strict)
    # DeepSeek V4 leaves an empty line where there are no arguments.
    may_be_empty = before.startswith(f"<{DSML}") and not any(p.is_required for p in parameters)
    empty = f"{grammar.literal(chr(10))}?" if may_be_empty else ""
    return sequence(header, in_order(parameters, written), empty, grammar.literal(after))


def invoke_call(grammar: Grammar, tool: ToolSpec, mark: str = "") -> str:
    """Return the expression for a call in XML; `mark` begins the names of its tags."""

    def argument(grammar: Grammar, parameter: Parameter, is_strict: bool) -> str:
        end = f"</{mark}parameter>"
        how = TextSyntax(f"{end}\n", stop=end)
        header = grammar.literal(parameter_names(f"{mark}parameter").written(parameter.name))
        return sequence(header, value(grammar, parameter, how, is_strict=is_strict))

    before = f'<{mark}invoke name="{{}}">\n'
    return _call(grammar, tool, before, argument, f"</{mark}invoke>\n")


def _dsml_call(grammar: Grammar, tool: ToolSpec) -> str:
    before, after = f'<{DSML}invoke name="{{}}">\n', f"</{DSML}invoke>\n"
    return _call(grammar, tool, before, _dsml_argument, after)


def _block_in(
    tag: str, call: Callable[[Grammar, ToolSpec], str], read_by: type[InvokeParser]
) -> Block:
    """Return what writes blocks of calls in a tag."""
    section = f"<{tag}>"
    *sections, invoke = read_by.openers
    openings = (
        *(Opening(other, section) for other in sections if other != section),
        Opening(invoke, f"{section}\n{invoke}"),
    )

    def block(grammar: Grammar, tools: Sequence[ToolSpec], one: bool) -> CallBlock:
        calls = [call(grammar, tool) for tool in tools]
        listed = call_list(grammar, calls, one, separator="")
        body = sequence(grammar.literal("\n"), listed, grammar.literal(f"</{tag}>"))
        return CallBlock(section, body, openings=openings)

    return block


def _minicpm_block(grammar: Grammar, tools: Sequence[ToolSpec], one: bool) -> CallBlock:
    del one  # a block has one call
    calls = [_call(grammar, tool, '{}">', _minicpm_argument, "</function>") for tool in tools]
    return CallBlock(_FUNCTION, grammar.either(calls), between="\n")


def _dsml_format(name: str, tag: str) -> ToolFormat:
    return ToolFormat(
        name=name,
        tags=(DSML,),
        recognises=lambda source: DSML in source and tag in source,
        parser=DsmlParser,
        names=DsmlParser.names,
        block=_block_in(DSML + tag, _dsml_call, DsmlParser),
    )


MINIMAX = ToolFormat(
    name="minimax",
    tags=(_MINIMAX, "</minimax:tool_call>"),
    recognises=lambda source: _MINIMAX in source,
    parser=InvokeParser,
    names=InvokeParser.names,
    block=_block_in("minimax:tool_call", invoke_call, InvokeParser),
)
# V3.2 and V4 differ in the tag around the calls; V3.2's template has both words.
DEEPSEEK_V32 = _dsml_format("deepseek-dsml-v3.2", "function_calls")
DEEPSEEK = _dsml_format("deepseek-dsml", "tool_calls")
MINICPM = ToolFormat(
    name="minicpm",
    tags=(),
    recognises=lambda source: _FUNCTION in source and '<param name="' in source,
    parser=MiniCpmParser,
    names=MiniCpmParser.names,
    block=_minicpm_block,
)
