"""Every field of a chat request has its effect with every tool format, or is refused by name.

`WALKS` tells of each field of the request's schema how that is tried; a new field has to be added.
The engine is the real one, and the model writes what a script says (`scripted_model`).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from app.api.schemas.chat import ChatRequest
from app.api.schemas.sampling import InferenceConfigs
from app.errors import InvalidRequest
from tests.api.requests import command
from tests.engine.scripted_model import BY_NAME, ScriptedModel, model_of

THOUGHT, TEXT = "Hm, so.", "Well, no."
BEGUN_LIKE_TEXT = ("firefunction", "llama")  # calls without a tag


def tool(name: str, **properties: Any) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


LED, BELL = tool("set_led", color={"enum": ["green"]}), tool("ring_bell", times={"enum": [1, 2]})
TOOLS = [LED, BELL]
Walk = Callable[[ScriptedModel], None]


def named(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name}}


def allowed(mode: str, *names: str) -> dict[str, Any]:
    tools = [named(name) for name in names]
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}}


def script(model: ScriptedModel, answer: str = TEXT) -> str:
    return model.thoughts(THOUGHT) + model.text(answer)


def calls_of(model: ScriptedModel, name: str = "set_led") -> str:
    return model.thoughts(THOUGHT) + model.call(TOOLS, name)


def thought(model: ScriptedModel) -> str:
    return THOUGHT if model.thinks else ""


def refused(model: ScriptedModel, param: str, **fields: Any) -> None:
    with pytest.raises(InvalidRequest) as error:
        model.answers(script(model), **fields)
    assert error.value.param == param


# ---------------------------------------------------------------- where an answer ends


def stop(model: ScriptedModel) -> None:
    """In thoughts, in text and in the arguments of a call; nothing of it is shown."""
    if model.thinks:
        cut = model.answer(script(model), stop=[", s"])
        assert (cut.reasoning, cut.content, cut.reason) == ("Hm", "", "stop")
    cut = model.answer(script(model), stop="l, n")
    assert (cut.reasoning, cut.content, cut.reason) == (thought(model), "Wel", "stop")
    if model.can_enforce:
        cut = model.answer(calls_of(model), tools=TOOLS, stop=["reen"])
        assert (cut.calls, cut.content) == ([("set_led", '{"color": "g')], "")
        assert cut.reason == "stop"


def max_tokens(model: ScriptedModel) -> None:
    """Everywhere in thoughts and in a call: no mark is shown, and no call told as whole."""
    whole = model.answer(calls_of(model) if model.can_enforce else script(model), tools=TOOLS)
    for limit in range(1, whole.n_tokens, 9):
        cut = model.answer(whole.raw, tools=TOOLS, max_tokens=limit)
        if cut.content.endswith("\ufffd"):
            continue  # cut within a character, which a tag is no part of in any vocabulary
        assert (cut.n_tokens, cut.reason) in ((limit, "length"), (limit, "tool_calls"))
        assert THOUGHT.startswith(cut.reasoning.removesuffix("["))  # may be text yet
        is_text = TEXT.startswith(cut.content.strip("< "))
        assert is_text or model.known.name in BEGUN_LIKE_TEXT
        assert [name for name, _ in cut.calls] in ([], ["set_led"])


def ignore_eos(model: ScriptedModel) -> None:
    """An answer that is held to a form ends with it all the same."""
    held = model.answer(script(model, "yes"), choice=["yes", "no"], ignore_eos=True)
    assert (held.content, held.reason) == ("yes", "stop")


def n(model: ScriptedModel) -> None:
    """Each answer is parsed by itself."""
    last = calls_of(model) if model.can_enforce else script(model, "Bye.")
    scripts = (script(model), model.text("Hi."), last)
    first, second, third = model.answers(*scripts, tools=TOOLS, n=3)
    assert (first.reasoning, first.content) == (thought(model), TEXT)
    assert (second.reasoning, second.content) == ("", "Hi.")
    assert third.reasoning == thought(model)
    if model.can_enforce:
        assert [name for name, _ in third.calls] == ["set_led"]


def logprobs(model: ScriptedModel) -> None:
    """The tokens of thoughts, text and calls are all listed."""
    for text in [script(model), *([calls_of(model)] if model.can_enforce else [])]:
        answer = model.answer(text, tools=TOOLS, logprobs=True, top_logprobs=2)
        assert answer.reasoning == thought(model)
        assert answer.listed.decode() == answer.raw
        assert answer.n_top == {2}


# ---------------------------------------------------------------- the form of an answer


def holds(model: ScriptedModel, right: str, **form: Any) -> None:
    """Check that an answer has a form after thoughts and without, whatever the model wants."""
    for before in (model.thoughts(THOUGHT), ""):
        answer = model.answer(before + model.text(right), **form)
        assert (answer.content, answer.reason) == (right, "stop")
        assert answer.reasoning == (thought(model) if before else "")
        if not before and model.thinks:
            continue
        other = model.answer(before + model.text(TEXT), **form)
        assert other.content
        assert other.content != TEXT
        assert other.reasoning == answer.reasoning


SCHEMA = {"type": "object", "properties": {"a": {"enum": [1, 2]}}, "required": ["a"]}
JSON = '{"a": 2}'
LARK = 'start: "y" b\nb: "es" | "ep"\n'


def response_format(model: ScriptedModel) -> None:
    wanted = {"name": "s", "schema": SCHEMA}
    holds(model, JSON, response_format={"type": "json_schema", "json_schema": wanted})
    holds(model, JSON, response_format={"type": "json_object"})


def json_schema(model: ScriptedModel) -> None:
    holds(model, JSON, json_schema=SCHEMA)
    if model.can_enforce:
        called = model.answer(calls_of(model), tools=TOOLS, json_schema=SCHEMA)
        assert (called.reason, called.reasoning) == ("tool_calls", thought(model))
        answer = model.answer(script(model, JSON), tools=TOOLS, json_schema=SCHEMA)
        assert (answer.content, answer.reasoning) == (JSON, thought(model))


def grammar(model: ScriptedModel) -> None:
    holds(model, "yep", grammar=LARK)
    holds(model, "yep", grammar='root ::= "yes" | "yep"')
    refused(model, "grammar", grammar=LARK, tools=TOOLS)
    refused(model, "grammar", grammar="start: nothing")


def regex(model: ScriptedModel) -> None:
    holds(model, "yep", regex="ye[ps]")


def choice(model: ScriptedModel) -> None:
    holds(model, "yep", choice=["yes", "yep"])


def structured_outputs(model: ScriptedModel) -> None:
    holds(model, "yep", structured_outputs={"grammar": LARK})


# ---------------------------------------------------------------- tools


def tool_choice(model: ScriptedModel) -> None:
    free = model.answer(script(model), tools=TOOLS, tool_choice="none")
    assert (free.reasoning, free.content, free.calls) == (thought(model), TEXT, [])
    forms: list[tuple[Any, set[str]]] = [
        ("required", {"set_led", "ring_bell"}),
        (named("ring_bell"), {"ring_bell"}),
        (allowed("required", "ring_bell"), {"ring_bell"}),
    ]
    for wanted, names in forms:
        if not model.can_enforce:
            refused(model, "tool_choice", tools=TOOLS, tool_choice=wanted)
            continue
        for before in ("", model.thoughts(THOUGHT)):
            text = before + model.call(TOOLS, "ring_bell")
            made = model.answer(text, tools=TOOLS, tool_choice=wanted)
            assert {name for name, _ in made.calls} <= names
            assert (made.reason, made.content) == ("tool_calls", "")
            assert made.reasoning == (thought(model) if before else "")
    only = allowed("auto", "ring_bell")
    if not model.can_enforce or model.known.name == "functionary-v3.2":
        refused(model, "tool_choice", tools=TOOLS, tool_choice=only)
        return
    assert model.answer(script(model), tools=TOOLS, tool_choice=only).content == TEXT
    made = model.answer(calls_of(model), tools=TOOLS, tool_choice=only)
    assert {name for name, _ in made.calls} <= {"ring_bell"}


def tools(model: ScriptedModel) -> None:
    if model.can_enforce:
        made = model.answer(calls_of(model), tools=TOOLS)
        ((name, arguments),) = made.calls
        assert name == "set_led"
        assert json.loads(arguments)["color"] == "green"
        assert (made.reasoning, made.content, made.reason) == (thought(model), "", "tool_calls")


def parallel_tool_calls(model: ScriptedModel) -> None:
    if model.can_enforce:
        for wanted in ("auto", "required"):
            fields = {"tools": TOOLS, "tool_choice": wanted, "parallel_tool_calls": False}
            twice = model.call(TOOLS, "set_led") + model.call(TOOLS, "ring_bell")
            assert [name for name, _ in model.answer(twice, **fields).calls] == ["set_led"]


# ---------------------------------------------------------------- thoughts


def reasoning_format(model: ScriptedModel) -> None:
    kept = model.answer(script(model), reasoning_format="none")
    if not model.thinks:
        assert (kept.reasoning, kept.content) == ("", TEXT)
        return
    opening, _, closing = model.thoughts("\0").rstrip().partition("\0")
    closing = closing.removesuffix(model.known.thoughts.between if model.known.thoughts else "")
    assert kept.reasoning == ""
    assert kept.content.startswith(f"{opening}{THOUGHT}{closing}")
    assert kept.content.removeprefix(f"{opening}{THOUGHT}{closing}").strip() == TEXT
    if model.can_enforce:
        called = model.answer(calls_of(model), tools=TOOLS, reasoning_format="none")
        assert [name for name, _ in called.calls] == ["set_led"]
        assert called.content.strip() == f"{opening}{THOUGHT}{closing}".strip()


def reasoning_budget(model: ScriptedModel) -> None:
    for budget in (0, 3):
        thought = THOUGHT.encode()[:budget].decode()
        answer = model.answer(script(model), reasoning_budget=budget)
        assert len(answer.reasoning) <= len(thought) + 2
        assert THOUGHT.startswith(answer.reasoning)
        assert answer.content.strip() == TEXT
        held = model.answer(script(model, "yes"), reasoning_budget=budget, choice=["yes", "no"])
        assert (held.reasoning, held.content) == (answer.reasoning, "yes")
        if model.can_enforce:
            called = model.answer(calls_of(model), reasoning_budget=budget, tools=TOOLS)
            assert [name for name, _ in called.calls] == ["set_led"]
            assert called.reasoning == answer.reasoning


def continue_final_message(model: ScriptedModel) -> None:
    said = {"role": "assistant", "content": "I say", "reasoning_content": THOUGHT}
    messages = [{"role": "user", "content": "Hi"}, said]
    more = model.answer(" so.", messages=messages, continue_final_message="content")
    assert (more.content, more.reasoning) == (" so.", "")
    form: dict[str, Any] = {"messages": messages, "choice": ["yes", "no"]}
    held = model.answer("yes", continue_final_message=True, **form)
    assert held.content == "yes"


def template_variables(model: ScriptedModel) -> None:
    """They reach the template, whatever the format."""
    given: dict[str, Any] = {"enable_thinking": False, "reasoning_effort": "low"}
    asked = command(**given, chat_template_kwargs={"reasoning_effort": "high", "more": 1})
    assert asked.template_kwargs == {**given, "reasoning_effort": "high", "more": 1}
    assert model.prompts.build(asked).conversation.template_kwargs == asked.template_kwargs


def add_generation_prompt(model: ScriptedModel) -> None:
    ends = [
        model.prompts.build(command(add_generation_prompt=wanted)).text for wanted in (True, False)
    ]
    assert ends[0].startswith(ends[1])
    assert ends[0] != ends[1]


# ---------------------------------------------------------------- all fields

PROMPT = "what the prompt is made of: tests/engine/prompt"
STREAM = "how events are written: tests/api/dialects/chat_completions"
IGNORED = "has no effect or is refused: tests/api/dialects/chat_completions"

WALKS: dict[str, Walk | str] = {
    "add_generation_prompt": add_generation_prompt,
    "audio": IGNORED,
    "chat_template_kwargs": template_variables,
    "choice": choice,
    "continue_final_message": continue_final_message,
    "enable_thinking": template_variables,
    "explain_cache": "of the prompt cache: tests/live/test_prompt_cache.py",
    "function_call": IGNORED,
    "functions": IGNORED,
    "grammar": grammar,
    "guided_choice": choice,
    "guided_grammar": grammar,
    "guided_json": json_schema,
    "guided_regex": regex,
    "ignore_eos": ignore_eos,
    "inference_configs": "the sampling fields once more: tests/api/chat/test_sampling.py",
    "json_schema": json_schema,
    "load_model_configs": "how the model is loaded: tests/live/test_service.py",
    "logprobs": logprobs,
    "max_completion_tokens": max_tokens,
    "max_tokens": max_tokens,
    "messages": PROMPT,
    "modalities": IGNORED,
    "model": "which model is asked: tests/live/test_service.py",
    "n": n,
    "n_predict": max_tokens,
    "parallel_tool_calls": parallel_tool_calls,
    "reasoning_budget": reasoning_budget,
    "reasoning_budget_tokens": reasoning_budget,
    "reasoning_control": "only lets a later request act: tests/live/test_llama_views.py",
    "reasoning_effort": template_variables,
    "reasoning_format": reasoning_format,
    "regex": regex,
    "response_format": response_format,
    "return_progress": STREAM,
    "speculate": "guesses change no answer: tests/live/test_speculation.py",
    "stop": stop,
    "stream": STREAM,
    "stream_options": STREAM,
    "structured_outputs": structured_outputs,
    "thinking_budget_tokens": reasoning_budget,
    "tool_choice": tool_choice,
    "tools": tools,
    "top_logprobs": logprobs,
}
# Samplers decide on tokens before any format does: tests/live/test_samplers.py
SAMPLERS = set(InferenceConfigs.model_fields) - set(WALKS)
FUNCTIONS = sorted(
    {walk for walk in WALKS.values() if not isinstance(walk, str)}, key=lambda walk: walk.__name__
)


def test_every_field_has_its_walk_or_says_why_it_needs_none() -> None:
    assert set(WALKS) | SAMPLERS == set(ChatRequest.model_fields)


@pytest.mark.parametrize(
    ("value", "names"),
    [
        (["a", "b"], ("choice", "guided_choice")),
        (LARK, ("grammar", "guided_grammar")),
        (SCHEMA, ("json_schema", "guided_json")),
        ("a+", ("regex", "guided_regex")),
        (7, ("max_tokens", "max_completion_tokens", "n_predict")),
        (7, ("reasoning_budget", "reasoning_budget_tokens", "thinking_budget_tokens")),
    ],
)
def test_other_names_of_a_field_are_read_as_that_field(value: Any, names: tuple[str, ...]) -> None:
    def read(name: str) -> tuple[Any, ...]:
        fields: dict[str, Any] = {name: value}
        asked = command(**fields)
        form = asked.constraint and (asked.constraint.kind, asked.constraint.text)
        return form, asked.max_tokens, asked.reasoning.budget

    assert read(names[0]) != read("user")
    assert {read(name) for name in names} == {read(names[0])}


@pytest.mark.parametrize("walk", FUNCTIONS, ids=lambda walk: walk.__name__)
@pytest.mark.parametrize("name", BY_NAME)
def test_a_field_has_its_effect_with_every_tool_format(name: str, walk: Walk) -> None:
    walk(model_of(name))
