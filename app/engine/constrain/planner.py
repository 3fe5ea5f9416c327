"""Owns what the answer to a command is held to: its grammar, and where that begins.

It puts together what the request wants, how the model writes calls and how it thinks; must not
know requests that run.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from app.base.json_types import JsonObject
from app.chat.grammar.lark import Grammar, quoted, sequence
from app.chat.parsing.reasoning import ReasoningTags, opens_reasoning
from app.chat.parsing.wrappers import AnswerMarks
from app.chat.template.tools import without_nulls
from app.chat.tool_formats import ToolFormat
from app.chat.tool_formats.base import CallBlock, ToolSpec
from app.chat.tool_formats.refusal import refusal
from app.engine.constrain import Block, Compiler, GuidePlan, Matcher, ThinkingPlan
from app.errors import InvalidRequest
from app.protocol import Constraint, Generate

_GAP = b"\n\n"  # what nearly every template writes between thoughts and answer
_NO_PARAMETERS: JsonObject = {"type": "object", "properties": {}}
_Tools = Mapping[int, ToolSpec]  # by their place in the request


class Tokens(Protocol):
    """What guidance needs of a model's vocabulary."""

    def shown_piece(self, token: int, /) -> bytes:
        """Return the bytes of a token, those of special ones too."""

    def token_of(self, text: str, /) -> int | None:
        """Return the token that a tag is; None where it is several."""

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        """Return the token ids of `text`."""


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
        if command.prompt is not None:
            return self._plan_plain(command)
        tools = _callable(command, offered)
        self._check_names(tools)
        whole = self._whole(command, tools)
        block = None
        if whole is None and tools:
            block = self._block(tools, one=not command.tool_choice.parallel)
        budget = command.reasoning.budget
        thinking = self._thinking(command, prompt_text)
        if whole is None and block is None and (thinking is None or budget is None):
            return None
        return GuidePlan(
            piece=self._tokens.shown_piece,
            tokenize=self._tokenize,
            whole=whole,
            block=block,
            thinking=thinking,
            fast_forward=command.n_logprobs is None,
        )

    def _check_names(self, tools: _Tools) -> None:
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
            tokenize=self._tokenize,
            whole=self._compiler.matcher(text, constraint.param),
            fast_forward=command.n_logprobs is None,
        )

    @property
    def _compiler(self) -> Compiler:
        if self._maybe_compiler is None:
            raise InvalidRequest("answers of this model cannot be held to a grammar")
        return self._maybe_compiler

    def _tokenize(self, text: bytes) -> list[int]:
        shown = text.decode("utf-8", "replace")
        return self._tokens.tokenize(shown, add_special=False, parse_special=True)

    def _thinking(self, command: Generate, prompt_text: str) -> ThinkingPlan | None:
        tags, goes_on = self._reasoning, command.prompt_end == "continued"
        if tags is None or prompt_text.rstrip().endswith(tags.closing):
            return None
        is_open = opens_reasoning(prompt_text, tags, goes_on=goes_on)
        if goes_on and not is_open:
            return None
        gap = self._tokenize(_GAP)
        return ThinkingPlan(
            opening=tags.opening.encode(),
            closing=tags.closing.encode(),
            opening_token=self._tokens.token_of(tags.opening),
            end=(*self._tokenize(tags.closing.encode()), *gap),
            gap=tuple(gap),
            is_open=is_open,
            also_end=tuple(tag.encode() for tag in tags.also_end),
            budget=command.reasoning.budget,
        )

    def _whole(self, command: Generate, tools: _Tools) -> Matcher | None:
        constraint = command.constraint
        one = not command.tool_choice.parallel
        if command.tool_choice.is_required:
            return self._required(tools, one=one)
        if constraint is None:
            return None
        if constraint.kind == "grammar":
            if tools:
                raise InvalidRequest("a grammar cannot be given with tools", param=constraint.param)
            lark = self._compiler.lark_of(constraint.text, constraint.param)
            return self._compiler.matcher(lark, constraint.param)
        grammar = self._grammar()
        alone = grammar.text(self._after_thoughts(grammar, self._text(grammar, constraint)))
        matcher = self._compiler.matcher(alone, constraint.param)
        if not tools or self._format.block is None:
            return matcher

        def or_calls(tools: Sequence[ToolSpec]) -> str:
            grammar = self._grammar()
            wanted = self._text(grammar, constraint)
            calls = _calls(grammar, self._calls_of(grammar, tools, one), one=one)
            return grammar.text(self._after_thoughts(grammar, grammar.either([wanted, calls])))

        return self._held(or_calls, tools, constraint.param)

    def _text(self, grammar: Grammar, constraint: Constraint) -> str:
        header = grammar.literal(self._format.header) if self._format.header else ""
        text = sequence(header, _expression(grammar, constraint))
        if not self._marks:
            return text
        opening, closing = (f"({grammar.literal(mark)})?" for mark in self._marks)
        return sequence(opening, text, closing)

    def _after_thoughts(self, grammar: Grammar, answer: str) -> str:
        thoughts = self._format.thoughts(grammar) if self._format.thoughts else ""
        return sequence(thoughts, answer)

    def _required(self, tools: _Tools, *, one: bool) -> Matcher:
        def calls(tools: Sequence[ToolSpec]) -> str:
            grammar = self._grammar()
            calls = _calls(grammar, self._calls_of(grammar, tools, one), one=one)
            return grammar.text(self._after_thoughts(grammar, calls))

        return self._held(calls, tools, "tools")

    def _block(self, tools: _Tools, *, one: bool) -> Block | None:
        if self._format.block is None or self._maybe_compiler is None:
            return None

        def body(tools: Sequence[ToolSpec]) -> str:
            grammar = self._grammar()
            return grammar.text(self._calls_of(grammar, tools, one).body)

        matcher = self._held(body, tools, "tools")
        block = self._calls_of(self._grammar(), [_loosened(next(iter(tools.values())))], one)
        return Block(
            trigger=block.trigger.encode(),
            matcher=matcher,
            only_at_start=block.only_at_start,
            is_last=one,
        )

    def _calls_of(self, grammar: Grammar, tools: Sequence[ToolSpec], one: bool) -> CallBlock:
        if self._format.block is None:
            raise InvalidRequest("this model cannot be made to call tools", param="tool_choice")
        try:
            return self._format.block(grammar, tools, one)
        except ValueError as error:
            raise InvalidRequest(f"tools: {error}", param="tools") from None

    def _grammar(self) -> Grammar:
        return Grammar((*self._format.tags, *self._marks), self._tokens.token_of)

    def _held(
        self, write: Callable[[Sequence[ToolSpec]], str], tools: _Tools, param: str
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

    def _check_strict(self, tools: _Tools) -> None:
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
            return _loosened(tool)
        return tool


def _loosened(tool: ToolSpec) -> ToolSpec:
    """Return a tool whose schema tells no more than the names of its arguments."""
    named, required = tool.parameters.get("properties"), tool.parameters.get("required")
    names = list(named) if isinstance(named, Mapping) else []
    loose: JsonObject = {"type": "object"}
    if names:
        loose["properties"] = {name: {} for name in names}
        needed = required if isinstance(required, list) else []
        loose["required"] = [name for name in needed if isinstance(name, str) and name in names]
    return replace(tool, parameters=loose)


def _callable(command: Generate, offered: Sequence[JsonObject]) -> _Tools:
    """Return the offered tools that may be called, by their place among all."""
    allowed = command.tool_choice.names
    functions = [tool.get("function") or {} for tool in without_nulls(offered)]
    return {
        index: ToolSpec(
            name=str(function.get("name", "")),
            parameters=function.get("parameters") or _NO_PARAMETERS,
            is_strict=bool(function.get("strict")),
        )
        for index, function in enumerate(functions)
        if not allowed or function.get("name") in allowed
    }


def _calls(grammar: Grammar, block: CallBlock, *, one: bool) -> str:
    """Return the expression for an answer that is one block of calls, or several."""
    opening = block.before + ("" if block.is_begun else block.trigger)
    first = f"{grammar.literal(opening)} {block.body}"
    if one or block.only_at_start:
        return first
    further = f"{grammar.literal(block.between + block.trigger)} {block.body}"
    return f"{first} ({further})*"


def _expression(grammar: Grammar, constraint: Constraint) -> str:
    match constraint.kind:
        case "json_schema":
            schema = json.loads(constraint.text)
            return grammar.schema(schema, is_strict=constraint.is_strict)
        case "regex":
            return grammar.pattern(constraint.text)
        case _:
            return grammar.either([quoted(text) for text in json.loads(constraint.text)])
