"""Whatever text begins a call that the parser reads as whole, the call is held to the tools."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from functools import cache

import pytest

from app.chat.grammar.lark import Grammar
from app.chat.parsing.reasoning import ReasoningParser, ReasoningTags
from app.chat.parsing.stream_parser import ParsedCall, collect
from app.chat.tool_formats import FORMATS, ToolFormat, functionary
from app.chat.tool_formats.base import ToolSpec
from app.chat.tools_as_text import GENERIC, with_generic_calls
from app.engine.constrain import Guide, GuidePlan
from app.engine.constrain.blocks import calls_of, opening_of, openings_of
from app.engine.constrain.planner import ConstraintPlanner
from app.protocol import ToolChoice
from tests.chat.grammar.grammar_walks import Vocabulary
from tests.engine.constrain.test_planner import IN_MESSAGES, RUN, Tagged, command, schema, tool
from tests.engine.constrain.vocabulary import allows

SPEC = ToolSpec("run", RUN["function"]["parameters"])
OFFERED = {"run": SPEC.parameters}
TAGS = ReasoningTags("<think>", "</think>")
KNOWN = {known.name: known for known in (*FORMATS, GENERIC) if known.block}
KNOWN |= {
    f"{known.name} shown as text": with_generic_calls(known, known if known.show else GENERIC)
    for known in KNOWN.values()
    if known.name in ("deepseek", "deepseek-r1", "kimi", "xml-functions", "glm", "llama")
}
every_format = pytest.mark.parametrize("name", KNOWN)

_OBJECT = '"name": "run", "parameters": {"cmd": "ls"}}'
_HARMONY = '<|constrain|>json<|message|>{"cmd": "ls"}<|call|>'
# Besides those that are made of the format's own tags: what models of the family are seen to write.
SEEN = {
    "llama": [
        f"{{{_OBJECT}", f"[{{{_OBJECT}]", f'{{"type": "function", {_OBJECT}', f"{{\n  {_OBJECT}",
        '{"name":"run","parameters":{"cmd":"ls"}}', f"<|python_tag|>{{{_OBJECT}",
        f'[{{"type":"function", {_OBJECT}, {{{_OBJECT}]', f"{{{_OBJECT}; {{{_OBJECT}",
    ],
    "harmony": [
        f"to=run {_HARMONY}", f" to=functions.run {_HARMONY}",
        f"<|channel|>commentary to=run {_HARMONY}", f"<|channel|>analysis to=run {_HARMONY}",
        f"<|start|>assistant to=run<|channel|>commentary {_HARMONY}",
        f"<|channel|>final<|message|>Hi<|end|><|start|>assistant<|channel|>commentary to=run "
        f"{_HARMONY}",
        '<|channel|>commentary <|constrain|>json to=run<|message|>{"cmd": "ls"}<|call|>',
    ],
    "muse": [
        " to=run<|message|>\n<atem:function_calls>\n"
        '<atem:invoke name="run">\n<atem:parameter name="cmd">ls</atem:parameter>\n</atem:invoke>',
        ' to=run<|message|><atem:invoke name="run">\n'
        '<atem:parameter name="cmd">ls</atem:parameter>\n</atem:invoke>\n',
    ],
    "functionary-v3.1": [
        '<|python_tag|>{"cmd": "ls"}', '<|python_tag|><function=run>{"cmd": "ls"}</function>',
    ],
    "functionary-v3.2": [
        'run\n{"cmd": "ls"}', 'run\r\n{"cmd": "ls"}', 'all\nHi\n>>>run\n{"cmd": "ls"}',
    ],
    "minicpm": ['<function name="run"><param name="cmd">ls</param></function>'],
}  # fmt: skip


@cache
def words(name: str, has_tokens: bool) -> Tagged:
    return Tagged((*KNOWN[name].tags, "<think>", "</think>") if has_tokens else ["<think>"])


@cache
def calls_written(name: str) -> list[str]:
    """Return texts that are made of a call as the format has it, and the parser's own tags."""
    known, vocabulary, texts = KNOWN[name], Vocabulary(), []
    for form in filter(None, (known, known.also)):
        grammar = Grammar()
        assert form.block
        block = form.block(grammar, [SPEC], True)
        body = vocabulary.walk(
            vocabulary.matcher(grammar.text(block.body)), random.Random(0), n_free=0
        )
        whole = opening_of(block) + body
        openers = getattr(form.parser(OFFERED), "openers", (block.trigger,))
        texts += [whole, whole + block.between + block.trigger + body, body]
        texts += [
            whole + between + body[body.find("{") :] for between in ("", "\n", ", ", "; ", "]")
        ]
        for at, opener in ((whole.find(opener), opener) for opener in openers):
            if at >= 0:
                rest = whole[at + len(opener) :]
                texts += [whole[at:], *(f"{o}{gap}{rest}" for o in openers for gap in ("", "\n"))]
                texts += [f"{o}{gap}{whole[at:]}" for o in openers for gap in ("", "\n")]
    return list(dict.fromkeys([*texts, *SEEN.get(known.name, ())]))


def read(known: ToolFormat, text: str, *, in_thoughts: bool) -> list[ParsedCall]:
    inner = known.parser(OFFERED)
    parser = ReasoningParser(inner, TAGS, is_open=True) if in_thoughts else inner
    return collect([*parser.feed(text), *parser.finish()]).tool_calls


def next_of(model: Tagged, rest: bytes) -> int | None:
    """Return the token that a text begins with, a tag or a byte; None at its end."""
    tags = (token for tag, token in model.tags.items() if rest.startswith(tag.encode()))
    return next(tags, rest[0] if rest else None)


def written(model: Tagged, plan: GuidePlan, wish: str) -> str:
    """Return the answer of a model that wants to write `wish`, and writes what it may."""
    guide, chance, whole = Guide(plan), random.Random(wish), wish.encode()
    begun = guide.begin()
    answer, is_over = model.spelled(begun.tokens), begun.is_over
    while not is_over and len(answer) < 2000:
        mask = guide.mask()
        rest = whole.removeprefix(answer) if whole.startswith(answer) else b""
        wanted = next_of(model, rest)
        if wanted is not None and (mask is None or allows(mask, wanted)):
            token = wanted
        elif mask is None:
            break
        else:
            token = chance.choice([at for at in range(len(model.tokens)) if allows(mask, at)])
        if token == model.end:
            break
        taken = guide.take(token)
        answer, is_over = answer + model.spelled(taken.tokens), taken.is_over
    assert not guide.error
    return answer.decode()


def beginnings(name: str, *, in_thoughts: bool) -> Iterator[str]:
    """Yield answers that the parser finds whole calls in, of which some are not held otherwise."""
    texts, seen = calls_written(name), SEEN.get(KNOWN[name].name, [])
    for text in [*random.Random(name).sample(texts, min(len(texts), 8)), *seen]:
        for before in ("Look.\n",) if in_thoughts else ("", "Hi.\n"):
            calls = read(KNOWN[name], before + text, in_thoughts=in_thoughts)
            if any(call.complete for call in calls):
                yield before + text


def assert_held(name: str, answer: str, *, in_thoughts: bool) -> None:
    for call in read(KNOWN[name], answer, in_thoughts=in_thoughts):
        if call.complete:
            assert (call.name, json.loads(call.arguments)) == ("run", {"cmd": "ls"}), answer


def walked(name: str, plan: GuidePlan, model: Tagged, *, in_thoughts: bool) -> int:
    """Check every beginning of a call, right and wrong; return how many there are."""
    n_walked = 0
    for wish in beginnings(name, in_thoughts=in_thoughts):
        n_walked += 1
        right = written(model, plan, wish)
        assert_held(name, right, in_thoughts=in_thoughts)
        calls = read(KNOWN[name], right, in_thoughts=in_thoughts)
        assert any(call.complete for call in calls), (wish, right)
        last = wish.rindex("ls")
        wrongs = (
            wish.replace("run", "nix"),
            wish.replace("ls", "rm"),
            f"{wish[:last]}rm{wish[last + 2 :]}",
            wish.replace('"cmd"', '"dmc"').replace(">cmd", ">dmc").replace("=cmd", "=dmc"),
        )
        for wrong in random.Random(wish).sample(wrongs, 2):
            assert_held(name, written(model, plan, wrong), in_thoughts=in_thoughts)
    return n_walked


@every_format
@pytest.mark.parametrize("has_tokens", [True, False])
def test_a_call_in_a_free_answer_is_held_whatever_begins_it(name: str, has_tokens: bool) -> None:
    model = words(name, has_tokens)
    plan = ConstraintPlanner(model, model.compiler, KNOWN[name]).plan(command(RUN), "", [RUN])
    assert plan is not None
    assert walked(name, plan, model, in_thoughts=False)


@pytest.mark.parametrize("name", [name for name in KNOWN if name not in IN_MESSAGES])
@pytest.mark.parametrize("choice", ["auto", "required", "schema"])
def test_a_call_in_open_thoughts_is_held_whatever_begins_it(name: str, choice: str) -> None:
    model, known = words(name, True), KNOWN[name]
    tool_choice = ToolChoice(is_required=choice == "required")
    constraint = schema({"type": "boolean"}) if choice == "schema" else None
    asked = command(RUN, tool_choice=tool_choice, constraint=constraint)
    plan = ConstraintPlanner(model, model.compiler, known, TAGS).plan(asked, "<think>", [RUN])
    assert plan is not None
    assert walked(name, plan, model, in_thoughts=True)


@every_format
def test_every_opening_is_one_that_the_grammar_of_calls_knows(name: str) -> None:
    model, known = words(name, True), KNOWN[name]
    plan = ConstraintPlanner(model, model.compiler, known).plan(command(RUN), "", [RUN])
    assert plan is not None
    assert plan.block is not None
    calls = calls_of(known, Grammar(), [SPEC], False)
    triggers = {opening.trigger.encode() for opening in openings_of(calls)}
    assert triggers == {block.trigger for block in (plan.block, *plan.block.also)}


def test_python_is_called_behind_its_tag_where_it_is_offered() -> None:
    known, model = functionary.V31, words("functionary-v3.1", True)
    python = tool("python", {"type": "object", "properties": {"code": {"enum": ["1"]}}})
    asked = command(RUN, python)
    plan = ConstraintPlanner(model, model.compiler, known).plan(asked, "", [RUN, python])
    assert plan is not None
    answer = written(model, plan, '<|python_tag|>{"code": "2')
    parser = known.parser({"python": {}, "run": {}})
    (call,) = collect([*parser.feed(answer), *parser.finish()]).tool_calls
    assert (call.name, call.complete) == ("python", True)
    assert json.loads(call.arguments) in ({}, {"code": "1"})
