"""Thoughts that are messages of an answer end with their budget, whatever the answer has to be.

Covers `app.engine.constrain.thoughts`.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest

from app.chat.parsing.stream_parser import ParsedAnswer, collect
from app.chat.tool_formats import FORMATS, ToolFormat
from app.engine.constrain import Guide
from app.engine.constrain.planner import ConstraintPlanner
from app.protocol import Generate, ReasoningParams, ToolChoice
from tests.engine.constrain.test_planner import RUN, Tagged, command, first_of, schema
from tests.engine.constrain.vocabulary import allows

MESSAGES = {known.name: known for known in FORMATS if known.thoughts}
every_format = pytest.mark.parametrize("name", MESSAGES)
budgets = pytest.mark.parametrize("budget", [0, 1, 3])
PROMPT = "<|start|>assistant"


@cache
def words(name: str) -> Tagged:
    return Tagged(MESSAGES[name].tags)


def tags(known: ToolFormat) -> tuple[str, str, str]:
    assert known.thoughts
    return known.thoughts.tags.opening, known.thoughts.tags.closing, known.thoughts.between


def asked(budget: int | None, **more: Any) -> Generate:
    return command(RUN, reasoning=ReasoningParams(budget=budget), **more)


def guide_of(
    name: str, wanted: Generate, prompt: str = PROMPT, *, has_compiler: bool = True
) -> Guide:
    model = words(name)
    compiler = model.compiler if has_compiler else None
    planner = ConstraintPlanner(model, compiler, MESSAGES[name])
    plan = planner.plan(wanted, prompt, json.loads(wanted.tools))
    assert plan is not None
    return Guide(plan)


def written(name: str, guide: Guide, wish: str) -> tuple[str, bool]:
    """Return the answer of a model that writes `wish` as far as it may, and whether it is over."""
    model = words(name)
    begun = guide.begin()
    answer, is_over = model.spelled(begun.tokens), begun.is_over
    while not is_over:
        assert len(answer) < 1000
        mask = guide.mask()
        rest = (
            wish.encode().removeprefix(answer).decode() if wish.encode().startswith(answer) else ""
        )
        tokens = model.tokenize(rest, add_special=False, parse_special=True)
        if tokens and (mask is None or allows(mask, tokens[0])):
            token = tokens[0]
        elif mask is None:
            break
        else:
            token = first_of(mask, len(model.tokens))
        taken = guide.take(token)
        answer, is_over = answer + model.spelled(taken.tokens), taken.is_over
    assert not guide.error
    return answer.decode(), is_over


def read(known: ToolFormat, answer: str, *, begun: str = "") -> ParsedAnswer:
    parser = known.parser({"run": {}})
    parser.feed(begun)
    return collect([*parser.feed(answer), *parser.finish()])


# ---------------------------------------------------------------- free answers


@every_format
@budgets
def test_thoughts_end_with_their_budget_and_the_answer_begins(name: str, budget: int) -> None:
    known = MESSAGES[name]
    wanted = command(reasoning=ReasoningParams(budget=budget))
    opening, closing, between = tags(known)
    answer, _ = written(name, guide_of(name, wanted), f"{opening}abcdefgh")
    thought = "" if not budget else f"{opening}{'abcdefgh'[:budget]}{closing}{between}"
    assert answer.startswith(thought + known.header)
    assert read(known, answer).reasoning == "abcdefgh"[:budget]


@every_format
@budgets
def test_with_tools_a_call_or_text_follows_the_thoughts(name: str, budget: int) -> None:
    known = MESSAGES[name]
    opening, closing, between = tags(known)
    before = f"{opening}{'abcdefgh'[:budget]}{closing}{between}" if budget else ""
    for ending in (f"{known.header}Hi.", call_of(name)):
        answer, _ = written(name, guide_of(name, asked(budget)), before + ending)
        assert answer.startswith(before + ending)
        assert read(known, answer).reasoning == "abcdefgh"[:budget]


@every_format
def test_nothing_else_may_follow(name: str) -> None:
    known = MESSAGES[name]
    opening, _, _ = tags(known)
    answer, _ = written(name, guide_of(name, asked(1)), f"{opening}a{opening}b")
    result = read(known, answer)
    assert result.reasoning == "a"
    assert answer.count(opening) == 1


def call_of(name: str) -> str:
    """Return a call with its head, as far as it is the same for every tool."""
    wanted = asked(0, tool_choice=ToolChoice(is_required=True, parallel=False))
    answer, _ = written(name, guide_of(name, wanted), "")
    return answer[: answer.index("run") + 3]


@every_format
def test_thoughts_that_begin_again_have_what_is_left(name: str) -> None:
    known = MESSAGES[name]
    opening, closing, between = tags(known)
    wanted = command(reasoning=ReasoningParams(budget=3))
    text = f"{opening}ab{closing}{between}{known.header}So.{closing}{between}{opening}cdef"
    answer, _ = written(name, guide_of(name, wanted), text)
    assert read(known, answer).reasoning == "abc"
    again = f"{known.header}So.{closing}{between}{opening}{closing}{between}{known.header}"
    answer, _ = written(name, guide_of(name, command(reasoning=ReasoningParams(budget=0))), again)
    assert read(known, answer).reasoning == ""


@every_format
def test_thoughts_within_the_budget_are_left_alone(name: str) -> None:
    known = MESSAGES[name]
    opening, closing, between = tags(known)
    wanted = command(reasoning=ReasoningParams(budget=5))
    wish = f"{opening}abc{closing}{between}{known.header}Hi"
    assert written(name, guide_of(name, wanted), wish)[0] == wish


@every_format
def test_a_vocabulary_that_no_grammar_can_hold_ends_thoughts_too(name: str) -> None:
    known = MESSAGES[name]
    opening, _, _ = tags(known)
    guide = guide_of(name, asked(2), has_compiler=False)
    answer, _ = written(name, guide, f"{opening}abcdef")
    result = read(known, answer)
    assert result.reasoning == "ab"


@every_format
def test_without_a_budget_thoughts_are_free(name: str) -> None:
    known = MESSAGES[name]
    planner = ConstraintPlanner(words(name), words(name).compiler, known)
    assert planner.plan(command(), PROMPT) is None


# ---------------------------------------------------------------- answers held to a grammar


@every_format
@budgets
def test_a_required_call_comes_after_no_more_thoughts_than_the_budget(
    name: str, budget: int
) -> None:
    known = MESSAGES[name]
    opening, _, _ = tags(known)
    wanted = asked(budget, tool_choice=ToolChoice(is_required=True, parallel=False))
    answer, is_over = written(name, guide_of(name, wanted), f"{opening}abcdefgh")
    result = read(known, answer)
    assert is_over
    assert result.reasoning == "abcdefgh"[:budget]
    assert [(call.name, json.loads(call.arguments)) for call in result.tool_calls] == [
        ("run", {"cmd": "ls"})
    ]


@every_format
@budgets
@pytest.mark.parametrize("n_logprobs", [None, 0])
def test_an_answer_with_a_schema_comes_after_no_more_thoughts_than_the_budget(
    name: str, budget: int, n_logprobs: int | None
) -> None:
    known = MESSAGES[name]
    opening, _, _ = tags(known)
    wanted = command(
        reasoning=ReasoningParams(budget=budget),
        constraint=schema({"enum": ["yes"]}),
        n_logprobs=n_logprobs,
    )
    answer, is_over = written(name, guide_of(name, wanted), f"{opening}abcdefgh")
    assert is_over
    assert read(known, answer) == ParsedAnswer('"yes"', "abcdefgh"[:budget])


# ---------------------------------------------------------------- continued thoughts


@every_format
@budgets
@pytest.mark.parametrize("is_bound", [True, False])
def test_thoughts_that_the_prompt_has_begun_count_too(
    name: str, budget: int, is_bound: bool
) -> None:
    known = MESSAGES[name]
    opening, closing, between = tags(known)
    wanted = command(
        reasoning=ReasoningParams(budget=budget),
        constraint=schema({"enum": ["yes"]}) if is_bound else None,
        prompt_end="continued_reasoning",
    )
    guide = guide_of(name, wanted, f"{PROMPT}{opening}Let me")
    thought = "abcdefgh"[:budget]
    answer, is_over = written(name, guide, f"{thought}{closing}{between}{known.header}So.")
    result = read(known, answer, begun=opening)
    assert result.reasoning == "abcdefgh"[:budget]
    assert is_over == is_bound
    assert result.content == ('"yes"' if is_bound else "So.")


@every_format
def test_text_that_goes_on_has_no_head_of_its_own(name: str) -> None:
    known = MESSAGES[name]
    wanted = command(
        reasoning=ReasoningParams(budget=0),
        constraint=schema({"enum": ["yes"]}),
        prompt_end="continued",
    )
    answer, is_over = written(name, guide_of(name, wanted, f"{PROMPT}{known.header}It is "), "")
    assert (answer, is_over) == ('"yes"', True)
