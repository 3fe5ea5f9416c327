"""Owns what the answer to a command is held to: its grammar, and where that begins.

It puts together what the request wants, how the model writes calls and how it thinks; must not
know requests that run.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace

from app.base.json_types import JsonObject
from app.chat.grammar.lark import Grammar, quoted, sequence
from app.chat.parsing.reasoning_tags import ReasoningTags
from app.chat.parsing.wrappers import AnswerMarks
from app.chat.tool_formats import ToolFormat
from app.chat.tool_formats.base import CallBlock, Place, ToolSpec
from app.chat.tool_formats.refusal import refusal
from app.engine.constrain import Block, Compiler, GuidePlan, Matcher
from app.engine.constrain.blocks import (
    BlockReader,
    answer_of_calls,
    block_of_calls,
    calls_of,
    head_of,
    opening_of,
    openings_of,
    together,
    within_thoughts,
)
from app.engine.constrain.compiler import NESTED
from app.engine.constrain.offered_tools import Tools, callable_tools, loosened
from app.engine.constrain.thoughts import Thoughts, Tokens, text_tokenizer
from app.errors import InvalidRequest
from app.protocol import Constraint, Generate

_UNLIMITED = "this model cannot be held to some of its tools"


class ConstraintPlanner:
    """Plans guides for the answers of one model.

    Args:
        tokens: the model's vocabulary.
        compiler: compiles grammars for it; None: answers cannot be held to any.
        tool_format: how the model writes calls.
        reasoning: what stands around its thoughts, if it has any.
        marks: what may stand around its text.
    """

    def __init__(
        self,
        tokens: Tokens,
        compiler: Compiler | None,
        tool_format: ToolFormat,
        reasoning: ReasoningTags | None = None,
        marks: AnswerMarks | None = None,
    ) -> None:
        self._tokens = tokens
        self._maybe_compiler = compiler
        self._format = tool_format
        self._reader = BlockReader(tool_format.tags, tokens.token_of)
        self._reasoning = reasoning
        is_sure = marks is not None and not (marks.are_text or marks.opens_thoughts)
        self._marks = (marks.opening, marks.closing) if marks is not None and is_sure else ()

    def forget(self) -> None:
        """Forget the grammars that were compiled."""
        if self._maybe_compiler is not None:
            self._maybe_compiler.forget()

    def plan(
        self, command: Generate, prompt_text: str, offered: Sequence[JsonObject] = ()
    ) -> GuidePlan | None:
        """Return what the answers to a command are held to; None where they are free.

        Args:
            prompt_text: the command's prompt as the template wrote it.
            offered: the command's tools.

        Raises:
            InvalidRequest: a schema or grammar is broken or cannot be enforced.
        """
        self._check_compiler(command)
        if command.prompt is not None:
            return self._plan_plain(command)
        tools = callable_tools(command, offered)
        self._check_names(tools)
        thoughts = Thoughts(self._tokens, self._format, self._reasoning, command, prompt_text)
        whole = self._whole(command, tools, thoughts)
        block = None
        if whole is None and tools:
            choice = command.tool_choice
            block = self._block(tools, one=not choice.parallel, is_limited=bool(choice.names))
        may_think = tools and self._reasoning is not None
        held = self._in_thoughts(command, tools, whole, block) if may_think else None
        thinking, messages = thoughts.tagged(held), thoughts.in_messages(self._heads(tools))
        asked = command.reasoning
        is_limited = asked.budget is not None or asked.is_controlled
        if whole is None and block is None and not (is_limited and (thinking or messages)):
            return None
        return GuidePlan(
            piece=self._tokens.shown_piece,
            tokenize=thoughts.tokenize,
            whole=whole,
            block=block,
            thinking=thinking,
            messages=messages,
            fast_forward=command.n_logprobs is None,
        )

    def _check_names(self, tools: Tools) -> None:
        for index, tool in tools.items():
            refused = refusal(self._format, tool)
            if refused:
                field, reason = refused
                where = f"tools[{index}].function.{field}"
                raise InvalidRequest(f"{where}: {reason}", param=where)

    def _plan_plain(self, command: Generate) -> GuidePlan | None:
        """Plan the answer to a raw prompt, which is text and nothing around it."""
        constraint = command.constraint
        if constraint is None:
            return None
        if constraint.kind == "grammar":
            text = self._compiler.lark_of(constraint.text, constraint.param)
        else:
            grammar = self._grammar()
            text = grammar.text(_expression(grammar, constraint))
        return GuidePlan(
            piece=self._tokens.shown_piece,
            tokenize=text_tokenizer(self._tokens),
            whole=self._compiler.matcher(text, constraint.param),
            fast_forward=command.n_logprobs is None,
        )

    def _check_compiler(self, command: Generate) -> None:
        field = "tool_choice" if command.tool_choice.is_required else ""
        field = command.constraint.param if command.constraint is not None else field
        if field and self._maybe_compiler is None:
            raise InvalidRequest("answers of this model cannot be held to a grammar", param=field)

    @property
    def _compiler(self) -> Compiler:
        if self._maybe_compiler is None:
            raise InvalidRequest("answers of this model cannot be held to a grammar")
        return self._maybe_compiler

    def _heads(self, tools: Tools) -> Matcher | None:
        """Return what an answer in messages may begin with where calls are possible."""
        if not (tools and self._format.thoughts and self._format.block and self._maybe_compiler):
            return None
        grammar = self._grammar()
        tool = loosened(next(iter(tools.values())))
        opening = head_of(self._calls_of(grammar, [tool], True))
        either = grammar.either([grammar.literal(self._format.header), grammar.literal(opening)])
        return self._compiler.matcher(grammar.text(either), "tools")

    def _in_thoughts(
        self, command: Generate, tools: Tools, whole: Matcher | None, block: Block | None
    ) -> Block | None:
        """Return what calls are held to that begin in thoughts which were not closed.

        Where all of the answer is held to a grammar, they go on in that.
        """
        if whole is None or self._format.block is None:
            return within_thoughts(block)
        one = not command.tool_choice.parallel
        names = [replace(tool, parameters={}) for tool in tools.values()]
        calls = self._calls_of(self._grammar(), names, one)
        openings = [o for o in openings_of(calls) if o.place is Place.ANYWHERE]
        begun = opening_of(calls)
        known = [
            replace(o, reads=begun + o.reads.removeprefix(calls.trigger))
            for o in openings
            if o.reads.startswith(calls.trigger)
        ]
        blocks = self._reader.blocks(known, whole, is_last=True)
        if len(blocks) < len(openings):
            alone, _ = self._block_matcher(tools, one=one)
            blocks += self._reader.blocks(openings, alone, is_last=True)
        return together(blocks)

    def _whole(self, command: Generate, tools: Tools, thoughts: Thoughts) -> Matcher | None:
        constraint = command.constraint
        one = not command.tool_choice.parallel
        if command.tool_choice.is_required:
            return self._required(tools, thoughts, one=one)
        if constraint is None:
            return None
        if constraint.kind == "grammar":
            if tools:
                raise InvalidRequest("a grammar cannot be given with tools", param=constraint.param)
            return self._client_grammar(constraint, thoughts)
        grammar = self._grammar()
        wanted = self._text(grammar, constraint, thoughts)
        alone = grammar.text(thoughts.before(grammar, wanted))
        matcher = self._compiler.matcher(alone, constraint.param)
        if not tools or self._format.block is None:
            return matcher

        def or_calls(tools: Sequence[ToolSpec]) -> str:
            grammar = self._grammar()
            wanted = self._text(grammar, constraint, thoughts)
            calls = answer_of_calls(grammar, self._calls_of(grammar, tools, one), one=one)
            return grammar.text(thoughts.before(grammar, grammar.either([wanted, calls])))

        return self._held(or_calls, tools, constraint.param)

    def _client_grammar(self, constraint: Constraint, thoughts: Thoughts) -> Matcher:
        """Compile a client's grammar, with what the model writes around an answer's text."""
        lark = self._compiler.lark_of(constraint.text, constraint.param)
        alone = self._compiler.matcher(lark, constraint.param)
        grammar = self._grammar()
        wanted = self._text(grammar, constraint, thoughts)
        whole = thoughts.before(grammar, wanted)
        if whole == NESTED:
            return alone
        return self._compiler.matcher(grammar.text(whole), constraint.param, nested=lark)

    def _text(self, grammar: Grammar, constraint: Constraint, thoughts: Thoughts) -> str:
        text = thoughts.text(grammar, _expression(grammar, constraint))
        if not self._marks:
            return text
        opening, closing = (f"({grammar.literal(mark)})?" for mark in self._marks)
        return sequence(opening, text, closing)

    def _required(self, tools: Tools, thoughts: Thoughts, *, one: bool) -> Matcher:
        def calls(tools: Sequence[ToolSpec]) -> str:
            grammar = self._grammar()
            calls = answer_of_calls(grammar, self._calls_of(grammar, tools, one), one=one)
            return grammar.text(thoughts.before(grammar, calls))

        return self._held(calls, tools, "tools")

    def _block(self, tools: Tools, *, one: bool, is_limited: bool) -> Block | None:
        if self._format.block is None or self._maybe_compiler is None:
            if is_limited:
                raise InvalidRequest(_UNLIMITED, param="tool_choice")
            return None

        matcher, calls = self._block_matcher(tools, one=one)
        if is_limited and calls.is_begun:  # the first call comes without what begins one
            raise InvalidRequest(_UNLIMITED, param="tool_choice")
        return together(self._reader.blocks(openings_of(calls), matcher, is_last=one))

    def _block_matcher(self, tools: Tools, *, one: bool) -> tuple[Matcher, CallBlock]:
        """Return the grammar of a block of calls, and what was said of it."""
        said: list[CallBlock] = []

        def text(tools: Sequence[ToolSpec]) -> str:
            grammar = self._grammar()
            said.append(self._calls_of(grammar, tools, one))
            return grammar.text(block_of_calls(grammar, said[-1]))

        return self._held(text, tools, "tools"), said[-1]

    def _calls_of(self, grammar: Grammar, tools: Sequence[ToolSpec], one: bool) -> CallBlock:
        if self._format.block is None:
            raise InvalidRequest("this model cannot be made to call tools", param="tool_choice")
        try:
            return calls_of(self._format, grammar, tools, one)
        except ValueError as error:
            raise InvalidRequest(f"tools: {error}", param="tools") from None

    def _grammar(self) -> Grammar:
        return Grammar((*self._format.tags, *self._marks), self._tokens.token_of)

    def _held(
        self, write: Callable[[Sequence[ToolSpec]], str], tools: Tools, param: str
    ) -> Matcher:
        """Compile the grammar that is written for tools.

        A schema that cannot be compiled holds calls to the names of its arguments only, unless
        its tool is strict.
        """
        try:
            self._check_strict(tools)
            return self._compiler.matcher(write(list(tools.values())), param)
        except InvalidRequest:
            known = {index: self._compilable(index, tool) for index, tool in tools.items()}
            if known == tools:
                raise
            return self._compiler.matcher(write(list(known.values())), param)

    def _check_strict(self, tools: Tools) -> None:
        """Compile the schemas of strict tools as they are: not every format writes all of one."""
        grammar = self._grammar()
        strict = [tool for tool in tools.values() if tool.is_strict]
        schemas = [grammar.schema(dict(tool.parameters), is_strict=True) for tool in strict]
        if schemas:
            self._compiler.matcher(grammar.text(grammar.either(schemas)), "tools")

    def _compilable(self, index: int, tool: ToolSpec) -> ToolSpec:
        """Return a tool, with another schema where its own is at fault.

        Raises:
            InvalidRequest: the tool is strict.
        """
        grammar = self._grammar()
        start = grammar.schema(dict(tool.parameters), is_strict=tool.is_strict)
        where = f"tools[{index}].function.parameters"
        try:
            self._compiler.matcher(grammar.text(start), where)
            if self._format.block is not None:
                grammar = self._grammar()
                body = self._calls_of(grammar, [tool], True).body
                self._compiler.matcher(grammar.text(body), "tools")
        except InvalidRequest as error:
            if tool.is_strict:
                raise InvalidRequest(error.message, param=where) from None
            return loosened(tool)
        return tool


def _expression(grammar: Grammar, constraint: Constraint) -> str:
    match constraint.kind:
        case "json_schema":
            schema = json.loads(constraint.text)
            return grammar.schema(schema, is_strict=constraint.is_strict)
        case "regex":
            return grammar.pattern(constraint.text)
        case "grammar":
            return NESTED
        case _:
            return grammar.either([quoted(text) for text in json.loads(constraint.text)])
