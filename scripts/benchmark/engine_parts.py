"""Owns the engine's parts in this process, for what can be measured without a server."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path

from app.base.json_types import as_json
from app.engine.constrain import Compiler, Guide, GuidePlan, build_tokenizer
from app.engine.constrain.planner import ConstraintPlanner
from app.engine.llama import Model, route_logs
from app.engine.prompt.builder import PromptBuilder
from app.protocol import Constraint, Generate, LoadParams, SamplingParams, ToolChoice
from scripts.benchmark.console import BenchFailed
from scripts.benchmark.structured_tasks import JsonObject

_N_CTX = 1024


class EngineParts:
    """A model and what holds its answers to grammars, put together as the engine does it.

    Args:
        path: the model.
        params: how to load it; by default nothing is loaded but the vocabulary.
    """

    def __init__(self, path: Path, params: LoadParams | None = None) -> None:
        route_logs(lambda _level, _text: None)
        loaded = params or LoadParams(n_ctx=_N_CTX)
        self.model = Model(path, loaded, lambda _: None, vocab_only=params is None)
        self.prompts = PromptBuilder(self.model, self.model.chat_template, n_ctx=_N_CTX)
        self.model.show_special(self.prompts.tags)

    @cached_property
    def planner(self) -> ConstraintPlanner:
        """Plans what answers are held to; the first use builds a tokenizer."""
        compiler = Compiler(build_tokenizer(self.model))
        return ConstraintPlanner(
            self.model, compiler, self.prompts.tool_format, self.prompts.reasoning
        )

    def plan(self, command: Generate) -> GuidePlan:
        """Return what the answer to a command is held to.

        Raises:
            BenchFailed: to nothing.
        """
        plan = self.planner.plan(command, "", json.loads(command.tools))
        if plan is None:
            raise BenchFailed("the engine holds the answer to nothing")
        return plan


def json_command(schema: JsonObject) -> Generate:
    """Return the command for an answer that fits a schema."""
    text = json.dumps(schema)
    constraint = Constraint(kind="json_schema", text=text, param="response_format")
    return _command(constraint=constraint)


def call_command(tools: list[JsonObject]) -> Generate:
    """Return the command for an answer that has to be a call of one of the tools."""
    return _command(tools=tools, tool_choice=ToolChoice(is_required=True))


def _command(
    constraint: Constraint | None = None,
    tools: list[JsonObject] | None = None,
    tool_choice: ToolChoice | None = None,
) -> Generate:
    return Generate(
        request_id="bench",
        messages=as_json([{"role": "user", "content": "Hello"}]),
        sampling=SamplingParams(),
        constraint=constraint,
        tools=as_json(tools or []),
        tool_choice=tool_choice or ToolChoice(),
    )


class Walk:
    """A known answer on its way through its grammar, choice by choice.

    Args:
        plan: what it is held to.
        answer: all of it, as the grammar writes it.

    Attributes:
        pending: tokens that followed since the last choice, that one included.
        n_chosen: tokens so far that were chosen.
        n_forced: tokens so far that had to follow.
        is_over: whether the answer is whole.
    """

    def __init__(self, plan: GuidePlan, answer: str) -> None:
        self.guide = Guide(plan)
        self._plan = plan
        self._rest = answer.encode()
        self.n_chosen = self.n_forced = 0
        begun = self.guide.begin()
        self.pending = begun.tokens
        self.is_over = begun.is_over
        self.n_forced = len(begun.tokens)
        self._write(begun.tokens)

    def next_token(self) -> int:
        """Return the token that has to be chosen now."""
        return self._plan.tokenize(self._rest)[0]

    def take(self, token: int) -> None:
        """Choose a token, which has to be the next one."""
        taken = self.guide.take(token)
        self.n_chosen += 1
        self.n_forced += len(taken.tokens) - 1
        self.pending = taken.tokens
        self._write(taken.tokens)
        self.is_over = taken.is_over or not self._rest

    def to_end(self) -> None:
        """Choose all that is left."""
        while not self.is_over:
            self.take(self.next_token())

    def _write(self, tokens: list[int]) -> None:
        written = b"".join(map(self._plan.piece, tokens))
        if self.guide.error or not self._rest.startswith(written):
            raise BenchFailed(f"the grammar writes {written!r} and not {self._rest[:40]!r}")
        self._rest = self._rest[len(written) :]
