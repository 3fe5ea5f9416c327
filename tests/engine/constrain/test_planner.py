"""What answers are held to: by tools, by a constraint, by both, and where that begins.

Covers `app.engine.constrain.blocks`.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from app.base.json_types import as_json
from app.chat.grammar.lark import Grammar
from app.chat.parsing.reasoning import ReasoningParser, ReasoningTags
from app.chat.parsing.stream_parser import collect
from app.chat.parsing.wrappers import AnswerMarks
from app.chat.tool_formats import (
    FORMATS,
    ToolFormat,
    functionary,
    gemma,
    hermes,
    json_lists,
    lfm2,
)
from app.chat.tool_formats.base import ToolSpec
from app.chat.tool_formats.channels import harmony
from app.engine.constrain import Guide, GuidePlan
from app.engine.constrain.planner import ConstraintPlanner
from app.errors import InvalidRequest
from app.protocol import Constraint, Generate, ReasoningParams, SamplingParams, ToolChoice
from tests.engine.constrain.vocabulary import SmallVocabulary, allows

CITY: dict[str, Any] = {"type": "object", "properties": {"city": {"enum": ["Oslo", "Bern"]}}}
TAGS = ReasoningTags("<think>", "</think>")


class Words(SmallVocabulary):
    """The small vocabulary with a model's names for things."""

    def shown_piece(self, token: int) -> bytes:
        return self.piece(token)

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        token = self.token_of(text)
        return self(text) if token is None else [token]


WORDS = Words()


def tool(name: str, parameters: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": parameters, **more}}


def command(*tools: dict[str, Any], **more: Any) -> Generate:
    messages = as_json([{"role": "user", "content": "Hi"}])
    sampling = SamplingParams()
    offered = as_json(list(tools))
    return Generate(request_id="r", messages=messages, tools=offered, sampling=sampling, **more)


def planned(asked: Generate, prompt: str = "", tags: ReasoningTags | None = None) -> GuidePlan:
    plan = ConstraintPlanner(WORDS, WORDS.compiler, hermes.FORMAT, tags).plan(
        asked, prompt, json.loads(asked.tools)
    )
    assert plan is not None
    return plan


def schema(wanted: dict[str, Any], *, is_strict: bool = True) -> Constraint:
    text = json.dumps(wanted)
    return Constraint(kind="json_schema", text=text, param="response_format", is_strict=is_strict)


def begun(plan: GuidePlan) -> str:
    return WORDS.spelled(Guide(plan).begin().tokens).decode()


def first(plan: GuidePlan) -> set[str]:
    """Return the ordinary characters that the answer may begin with."""
    mask = Guide(plan).mask()
    assert mask is not None
    return {chr(token) for token in range(32, 127) if allows(mask, token)}


def test_an_answer_is_free_where_nothing_is_wanted_of_it() -> None:
    assert ConstraintPlanner(WORDS, WORDS.compiler, hermes.FORMAT).plan(command(), "") is None


def test_with_tools_the_answer_is_free_and_calls_are_not() -> None:
    plan = planned(command(tool("weather", CITY)))
    assert plan.whole is None
    guide = Guide(plan)
    assert guide.mask() is None
    taken = guide.take(WORDS.tags["<tool_call>"])
    assert WORDS.spelled(taken.tokens).decode().startswith('<tool_call>\n{"name": "weather", ')


def test_a_required_call_begins_at_once_and_has_an_allowed_name() -> None:
    choice = ToolChoice(is_required=True, names=["time"])
    plan = planned(command(tool("weather", CITY), tool("time"), tool("date"), tool_choice=choice))
    assert begun(plan) == '<tool_call>\n{"name": "time", "arguments": {}}\n</tool_call>'


@pytest.mark.parametrize("parallel", [True, False])
def test_a_required_call_may_be_followed_by_others_where_that_is_allowed(parallel: bool) -> None:
    choice = ToolChoice(is_required=True, parallel=parallel)
    guide = Guide(planned(command(tool("time"), tool_choice=choice)))
    assert guide.begin().is_over is not parallel


def test_an_answer_with_tools_and_a_schema_is_a_call_or_fits() -> None:
    wanted = schema({"type": "array", "items": {"type": "integer"}})
    plan = planned(command(tool("time"), constraint=wanted))
    mask = Guide(plan).mask()
    assert mask is not None
    assert allows(mask, WORDS.tags["<tool_call>"])
    assert first(plan) == {"["}


@pytest.mark.parametrize(
    ("constraint", "characters"),
    [
        (schema({"type": "boolean"}), {"t", "f"}),
        (Constraint(kind="regex", text="[x-z]+/", param="regex"), {"x", "y", "z"}),
        (Constraint(kind="choice", text='["yes", "no"]', param="choice"), {"y", "n"}),
        (Constraint(kind="grammar", text="start: /[0-3]/", param="grammar"), set("0123")),
        (Constraint(kind="grammar", text='root ::= "a" | "b"', param="grammar"), {"a", "b"}),
    ],
)
def test_every_kind_of_constraint_holds_from_the_first_token(
    constraint: Constraint, characters: set[str]
) -> None:
    assert first(planned(command(constraint=constraint))) == characters


def refusal(asked: Generate) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as refused:
        planned(asked)
    return refused.value


BROKEN = tool("b", {"type": "object", "properties": {"x": {"type": "strin"}}}, strict=True)


@pytest.mark.parametrize("choice", [ToolChoice(), ToolChoice(is_required=True)])
def test_the_strict_tool_whose_schema_is_at_fault_is_named(choice: ToolChoice) -> None:
    refused = refusal(command(tool("a"), BROKEN, tool_choice=choice))
    assert refused.param == "tools[1].function.parameters"
    assert "strin" in refused.message


def test_a_tool_at_fault_is_named_by_its_place_among_all_that_are_offered() -> None:
    refused = refusal(command(tool("a"), BROKEN, tool_choice=ToolChoice(names=["b"])))
    assert refused.param == "tools[1].function.parameters"


@pytest.mark.parametrize(
    "value",
    [
        {"type": "strin"},
        {"type": "string", "pattern": "^(?!x).*$"},
        {"$ref": "#/components/x"},
        {"enum": []},
        "some text",
    ],
)
@pytest.mark.parametrize("choice", [ToolChoice(), ToolChoice(is_required=True)])
def test_a_sloppy_schema_holds_calls_to_the_names_of_its_arguments(
    value: Any, choice: ToolChoice
) -> None:
    parameters = {"type": "object", "properties": {"x": value}, "required": ["x", "y"]}
    plan = planned(command(tool("b", parameters), tool_choice=choice))
    guide = Guide(plan)
    taken = guide.begin().tokens or guide.take(WORDS.tags["<tool_call>"]).tokens
    assert WORDS.spelled(taken).decode().endswith('{"name": "b", "arguments": {"x": ')


def test_beside_a_sloppy_schema_the_others_hold_as_ever() -> None:
    sloppy = tool("b", {"type": "object", "properties": {"x": {"type": "strin"}}})
    wanted = {"type": "object", "properties": {"n": {"const": 7}}, "required": ["n"]}
    plan = planned(command(sloppy, tool("c", wanted), tool_choice=ToolChoice(is_required=True)))
    guide = Guide(plan)
    guide.begin()
    assert b'c", "arguments": {"n": 7}}' in WORDS.spelled(guide.take(ord("c")).tokens)


def test_only_a_strict_tool_is_refused_for_what_cannot_be_enforced() -> None:
    odd = {"type": "object", "properties": {"x": {"type": "array", "uniqueItems": True}}}
    planned(command(tool("a", odd)))
    refused = refusal(command(tool("a", odd, strict=True)))
    assert (refused.param, "uniqueItems" in refused.message) == (
        "tools[0].function.parameters",
        True,
    )


UNHELD: dict[str, Any] = {
    "minProperties": {"type": "object", "additionalProperties": {}, "minProperties": 2},
    "uniqueItems": {"type": "object", "properties": {"x": {"items": {"uniqueItems": True}}}},
    "anyOf": {"type": "object", "properties": {"x": {}}, "anyOf": [{"required": ["x"]}, {}]},
    "minimum": {"type": "object", "properties": {"x": {"minimum": 2**70}}, "required": ["x"]},
}


@pytest.mark.parametrize("choice", [ToolChoice(), ToolChoice(is_required=True)])
@pytest.mark.parametrize("form", [hermes.FORMAT, gemma.FORMAT, lfm2.FORMAT], ids=lambda f: f.name)
@pytest.mark.parametrize("keyword", UNHELD)
def test_what_a_strict_tool_says_is_enforced_or_refused_in_every_format(
    keyword: str, form: ToolFormat, choice: ToolChoice
) -> None:
    planner = ConstraintPlanner(WORDS, WORDS.compiler, form)
    for is_strict in (False, True):
        tools = [tool("a"), tool("b", UNHELD[keyword], strict=is_strict)]
        asked = command(*tools, tool_choice=choice)
        if not is_strict or (keyword == "anyOf" and form is hermes.FORMAT):
            assert planner.plan(asked, "", tools) is not None
            continue
        with pytest.raises(InvalidRequest) as refused:
            planner.plan(asked, "", tools)
        assert refused.value.param == "tools[1].function.parameters"
        assert keyword in refused.value.message


def test_a_refusal_names_the_place_of_the_keyword() -> None:
    wanted = schema({"properties": {"tags": {"type": "array", "uniqueItems": True}}})
    refused = refusal(command(constraint=wanted))
    assert refused.param == "response_format"
    assert "uniqueItems at #/properties/tags/uniqueItems" in refused.message


def test_a_schema_at_fault_beside_good_tools_is_the_one_that_is_named() -> None:
    wanted = schema({"not": {}})
    assert refusal(command(tool("a"), constraint=wanted)).param == "response_format"


@pytest.mark.parametrize("known", [f for f in FORMATS if f.block], ids=lambda known: known.name)
def test_tools_of_which_openai_leaves_out_most_hold_calls(known: ToolFormat) -> None:
    schemas: list[dict[str, Any] | None] = [None, {}]
    schemas += [{"type": "object", "properties": None, "required": None}]
    schemas += [{"properties": {"a": None, "b": {"type": "string", "enum": None}}}]
    tools = [{"function": {"name": "bare"}}]
    tools += [tool(f"f{at}", schema, description=None) for at, schema in enumerate(schemas)]
    vocabulary = Words([])  # none of its tags are tokens
    for choice in (ToolChoice(), ToolChoice(is_required=True)):
        asked = command(*tools, tool_choice=choice)
        planner = ConstraintPlanner(vocabulary, vocabulary.compiler, known)
        assert planner.plan(asked, "", json.loads(asked.tools))


def written(guide: Guide, text: str) -> bytes:
    """Return what an answer has become once these characters are chosen, one by one."""
    answer = b""
    for letter in text.encode():
        mask = guide.mask()
        assert mask is None or allows(mask, letter)
        answer += WORDS.spelled(guide.take(letter).tokens)
    return answer


def test_thoughts_whose_opening_tag_is_several_tokens_may_come_before_any_form() -> None:
    tags = ReasoningTags("<thinking>", "</thinking>")
    wanted = Constraint(kind="choice", text='["<then>", "no"]', param="choice")
    plan = planned(command(constraint=wanted), tags=tags)
    assert first(plan) == {"<", "n"}
    assert written(Guide(plan), "<the") == b"<then>", "the form may begin like the tag"
    guide = Guide(plan)
    assert written(guide, "<thi") == b"<thi"
    mask = guide.mask()
    assert mask is not None
    assert [token for token in range(len(WORDS.tokens)) if allows(mask, token)] == [ord("n")]
    assert written(guide, "nking>Hm.</thinking>").endswith(b"</thinking>\n\n")
    assert written(guide, "n") == b"no"


def test_a_grammar_of_the_clients_own_is_that_of_the_text_in_a_message() -> None:
    wanted = Constraint(kind="grammar", text='start: "a" b\nb: "c"', param="grammar")
    plan = ConstraintPlanner(WORDS, WORDS.compiler, harmony.FORMAT).plan(
        command(constraint=wanted, reasoning=ReasoningParams(budget=0)), ""
    )
    assert plan is not None
    assert begun(plan) == f"{harmony.FORMAT.header}ac"


def test_a_grammar_of_the_clients_own_and_tools_exclude_each_other() -> None:
    wanted = Constraint(kind="grammar", text='start: "a"', param="grammar")
    assert refusal(command(tool("a"), constraint=wanted)).param == "grammar"


def test_a_vocabulary_that_no_grammar_can_hold_serves_all_that_need_none() -> None:
    planner = ConstraintPlanner(WORDS, None, hermes.FORMAT)
    assert planner.plan(command(), "", [tool("a")]) is None
    with pytest.raises(InvalidRequest) as refused:
        planner.plan(command(constraint=schema({"type": "object"})), "")
    assert refused.value.param == "response_format"


def test_a_text_of_functionary_has_its_recipient_before_the_form() -> None:
    asked = command(constraint=schema({"type": "boolean"}))
    plan = ConstraintPlanner(WORDS, WORDS.compiler, functionary.V32).plan(asked, "")
    assert plan is not None
    assert begun(plan) == "all\n"


def test_a_form_may_stand_between_the_marks_of_an_answers_text() -> None:
    marks = AnswerMarks("<|START_TEXT|>", "<|END_TEXT|>")
    words = Words((marks.opening, marks.closing))
    planner = ConstraintPlanner(words, words.compiler, hermes.FORMAT, None, marks)
    plan = planner.plan(command(constraint=schema({"type": "boolean"})), "")
    assert plan is not None
    assert plan.whole is not None
    opening, closing = (words.tags[mark] for mark in (marks.opening, marks.closing))
    for before, after in (([], []), ([opening], []), ([opening], [closing])):
        tokens = [*before, *b"true", *after]
        assert plan.whole.copy().n_allowed(tokens) == len(tokens)
    assert plan.whole.copy().n_allowed([closing]) == 0


# ---------------------------------------------------------------- answers in messages


HARMONY = Words(harmony.FORMAT.tags)


def of_harmony(asked: Generate, answer: str) -> bool:
    """Return whether gpt-oss may answer so."""
    plan = ConstraintPlanner(HARMONY, HARMONY.compiler, harmony.FORMAT).plan(
        asked, "", json.loads(asked.tools)
    )
    assert plan is not None
    assert plan.whole is not None
    parts = re.split("(" + "|".join(map(re.escape, HARMONY.tags)) + ")", answer)
    tokens = [HARMONY.tokenize(p, add_special=False, parse_special=True) for p in parts if p]
    flat = [token for part in tokens for token in part]
    return plan.whole.copy().n_allowed(flat) == len(flat)


@pytest.mark.parametrize(
    "thought", ["", "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant"]
)
def test_an_answer_in_messages_has_its_head_and_may_have_thoughts_before_it(thought: str) -> None:
    asked = command(constraint=schema({"type": "boolean"}))
    assert of_harmony(asked, thought + "<|channel|>final<|message|>true")
    assert not of_harmony(asked, "true")


def test_a_required_call_in_messages_may_have_thoughts_before_it() -> None:
    asked = command(tool("time"), tool_choice=ToolChoice(is_required=True))
    thought = "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant"
    call = "<|channel|>commentary to=functions.time <|constrain|>json<|message|>{}<|call|>"
    assert of_harmony(asked, call)
    assert of_harmony(asked, thought + call)
    assert not of_harmony(asked, thought + "<|channel|>final")


# ---------------------------------------------------------------- thoughts


def test_a_message_that_goes_on_within_its_thoughts_is_in_them() -> None:
    asked = command(constraint=schema({"type": "boolean"}), prompt_end="continued")
    plan = planned(asked, "Q: <think>\nIt may be", TAGS)
    assert plan.thinking is not None
    assert plan.thinking.is_open


def test_a_message_that_goes_on_behind_its_thoughts_has_no_more_of_them() -> None:
    asked = command(constraint=schema({"type": "boolean"}), prompt_end="continued")
    assert planned(asked, "Q: <think>\nSo.</think>\n\nIt is ", TAGS).thinking is None


@pytest.mark.parametrize(
    ("prompt", "is_open"), [("Q: ", False), ("Q: <think>\n", True), ("Q: <think>", True)]
)
def test_a_prompt_that_opens_thoughts_is_noticed(prompt: str, is_open: bool) -> None:
    plan = planned(command(constraint=schema({"type": "boolean"})), prompt, TAGS)
    assert plan.thinking is not None
    assert plan.thinking.is_open == is_open


def test_a_prompt_that_has_closed_the_thoughts_leaves_none() -> None:
    plan = planned(
        command(constraint=schema({"type": "boolean"})), "Q: <think>\n\n</think>\n\n", TAGS
    )
    assert plan.thinking is None


def test_a_budget_needs_a_guide_even_where_the_answer_is_free() -> None:
    planner = ConstraintPlanner(WORDS, WORDS.compiler, hermes.FORMAT, TAGS)
    assert planner.plan(command(), "<think>") is None
    plan = planner.plan(command(reasoning=ReasoningParams(budget=0)), "<think>")
    assert plan is not None
    assert begun(plan) == "</think>\n\n"


@pytest.mark.parametrize(
    ("known", "offered", "field"),
    [
        (gemma.FORMAT, tool("weather", {"properties": {"a": {}, "a:b": {}}}), "parameters"),
        (functionary.V32, tool("all"), "name"),
    ],
)
def test_names_that_the_format_cannot_carry_are_refused(
    known: ToolFormat, offered: dict[str, Any], field: str
) -> None:
    planner = ConstraintPlanner(WORDS, WORDS.compiler, known)
    tools = [tool("time"), offered]
    with pytest.raises(InvalidRequest, match=known.name) as error:
        planner.plan(command(*tools), "", tools)
    assert error.value.param == f"tools[1].function.{field}"


# ---------------------------------------------------------------- calls in thoughts

RUN = tool("run", {"type": "object", "properties": {"cmd": {"enum": ["ls"]}}, "required": ["cmd"]})
IN_MESSAGES = ("harmony", "muse", "solar")  # think in messages of their own
IN_THOUGHTS = {
    known.name: known
    for known in FORMATS
    if known.block and known.name not in (*IN_MESSAGES, "llama")
}


class Tagged(Words):
    """The vocabulary with the tags of a format, which are tokens wherever they stand."""

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        parts = re.split("(" + "|".join(map(re.escape, self.tags)) + ")", text)
        tokens = (
            super(Tagged, self).tokenize(p, add_special=False, parse_special=True)
            for p in parts
            if p
        )
        return [token for part in tokens for token in part]


def first_of(mask: bytes, n_tokens: int) -> int:
    return next(token for token in range(n_tokens) if allows(mask, token))


def trigger_of(known: ToolFormat) -> str:
    assert known.block
    return known.block(Grammar(), [ToolSpec("run", {})], True).trigger


@pytest.mark.parametrize("is_required", [True, False])
@pytest.mark.parametrize("name", IN_THOUGHTS)
def test_a_call_in_open_thoughts_is_held_to_the_tools(name: str, is_required: bool) -> None:
    known = IN_THOUGHTS[name]
    words = Tagged((*known.tags, "<think>", "</think>"))
    choice = ToolChoice(is_required=is_required, parallel=False)
    asked = command(RUN, tool_choice=choice)
    plan = ConstraintPlanner(words, words.compiler, known, TAGS).plan(asked, "Q: <think>\n", [RUN])
    assert plan is not None
    guide = Guide(plan)
    assert guide.begin().tokens == []
    thought = words.tokenize(f"Look.\n{trigger_of(known)}", add_special=False, parse_special=True)
    answer, is_over = b"", False
    while not is_over:
        mask = guide.mask()
        assert mask is None or not thought, "thoughts are free"
        chosen = thought.pop(0) if mask is None else first_of(mask, len(words.tokens))
        taken = guide.take(chosen)
        answer, is_over = answer + words.spelled(taken.tokens), taken.is_over
    parser = ReasoningParser(known.parser({"run": {}}), TAGS, is_open=True)
    read = collect([*parser.feed(answer.decode()), *parser.finish()])
    assert (read.reasoning, read.content) == ("Look.", "")
    assert [(call.name, json.loads(call.arguments)) for call in read.tool_calls] == [
        ("run", {"cmd": "ls"})
    ]


def test_a_call_in_thoughts_before_an_answer_with_a_schema_is_a_call() -> None:
    asked = command(RUN, constraint=schema({"type": "boolean"}))
    plan = planned(asked, "Q: <think>\n", TAGS)
    guide = Guide(plan)
    guide.begin()
    taken = guide.take(WORDS.tags["<tool_call>"])
    assert WORDS.spelled(taken.tokens).startswith(b'<tool_call>\n{"name": "run"')


def test_a_required_call_in_thoughts_may_be_followed_by_others() -> None:
    asked = command(tool("time"), tool_choice=ToolChoice(is_required=True))
    guide = Guide(planned(asked, "Q: <think>\n", TAGS))
    assert not guide.take(WORDS.tags["<tool_call>"]).is_over
    mask = guide.mask()
    assert mask is not None
    assert [token for token in range(256) if allows(mask, token)] == [ord("\n")]


def test_without_tools_nothing_but_the_closing_tag_ends_thoughts() -> None:
    plan = planned(command(reasoning=ReasoningParams(budget=9)), "Q: <think>\n", TAGS)
    assert plan.thinking is not None
    assert plan.thinking.block is None


# ---------------------------------------------------------------- formats without a grammar


@pytest.mark.parametrize("known", [json_lists.COMMAND_R, hermes.FORMAT])
def test_some_of_the_tools_are_refused_where_nothing_can_hold_a_model_to_them(
    known: ToolFormat,
) -> None:
    compiler = WORDS.compiler if known is json_lists.COMMAND_R else None
    planner = ConstraintPlanner(WORDS, compiler, known)
    tools = [tool("a"), tool("b")]
    assert planner.plan(command(*tools), "", tools) is None
    for choice in (ToolChoice(names=["a"]), ToolChoice(is_required=True)):
        with pytest.raises(InvalidRequest) as refused:
            planner.plan(command(*tools, tool_choice=choice), "", tools)
        assert refused.value.param == "tool_choice"
