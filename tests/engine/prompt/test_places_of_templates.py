"""Whatever a published template does to the history, later prompts begin with what is promised."""

from __future__ import annotations

import datetime
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from app.engine.prompt.builder import Prompt, PromptBuilder
from app.engine.prompt.conversation_date import ConversationDates
from app.engine.prompt.history import goes_on
from app.errors import TemplateRefused
from tests.engine.prompt.test_builder import Letters, generate, user

FOLDER = Path(__file__).parents[4] / "shared" / "data" / "templates"
PATHS = sorted(FOLDER.glob("*.jinja"))
NOW = datetime.datetime(2026, 1, 1)
SYSTEM = {"role": "system", "content": "Be brief and kind, and say what is so and what is not."}
ASKED = user("What is it that you want to say about the matter?")
AGAIN = user("And what is it that the others want to say?")
TEXT = "Well, that is so."
THOUGHTS = "Hm, let me see."
TOOL = {
    "type": "function",
    "function": {
        "name": "get_it",
        "description": "Gets it.",
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "string", "description": "What."}},
            "required": ["a"],
        },
    },
}
# Leaves the thoughts of the first answer out, and keeps those of all others.
UNLIKE_PROBES = {"Kimi-K2-Thinking"}


def said(text: str, thoughts: str = "") -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    return {**message, "reasoning_content": thoughts} if thoughts else message


def called(call_id: str, thoughts: str = "") -> list[dict[str, Any]]:
    """Return a call and its result."""
    function = {"name": "get_it", "arguments": '{"a": "x"}'}
    call = {"id": call_id, "type": "function", "function": function}
    result = {"role": "tool", "tool_call_id": call_id, "content": "It is 7."}
    return [{**said("", thoughts), "tool_calls": [call]}, result]


CONVERSATIONS: dict[str, list[dict[str, Any]]] = {
    "alone": [ASKED],
    "instructed": [SYSTEM, ASKED],
    "long": [SYSTEM, ASKED, said(TEXT), AGAIN],
    "thoughtful": [SYSTEM, ASKED, said(TEXT, THOUGHTS), AGAIN],
    "with tools": [SYSTEM, ASKED],
    "after results with tools": [SYSTEM, ASKED, *called("abcdefghi")],
    "after thoughts with tools": [SYSTEM, ASKED, *called("abcdefghi", THOUGHTS)],
    "long with tools": [SYSTEM, ASKED, *called("abcdefghi", THOUGHTS), said(TEXT), AGAIN],
}


@cache
def builder_of(path: Path) -> PromptBuilder:
    source = path.read_text(encoding="utf-8")
    prompts = PromptBuilder(Letters(), source, n_ctx=1 << 20, finds_places=True)
    prompts._dates = ConversationDates(lambda: NOW)  # one template writes the time of the day
    return prompts


class Case:
    """A template, the values of its variables and a conversation."""

    def __init__(self, path: Path, name: str, kwargs: dict[str, Any]) -> None:
        self._kwargs = kwargs
        self.tools = [TOOL] if name.endswith("tools") else []
        self.prompts = builder_of(path)
        self.messages = CONVERSATIONS[name]
        self.prompt = self.build(self.messages)

    def build(self, messages: list[dict[str, Any]]) -> Prompt | None:
        command = generate(*messages, tools=self.tools, template_kwargs=self._kwargs)
        try:
            return self.prompts.build(command)
        except TemplateRefused:
            return None

    def thoughts(self, prompt: Prompt) -> list[str]:
        """Return the thoughts that an answer to a prompt may have."""
        tags = self.prompts.reasoning
        if tags is None or prompt.text.rstrip().endswith(tags.closing):
            return [""]
        return [THOUGHTS] if prompt.text.rstrip().endswith(tags.opening) else ["", THOUGHTS]


def check_places(case: Case, prompt: Prompt) -> None:
    tokens, n_history = prompt.tokens, prompt.history.n_history
    for text, thoughts in product(("Yes.", TEXT * 5), {"", *case.thoughts(prompt)}):
        later = case.build([*case.messages, said(text, thoughts), user("1. Go on")])
        if later is not None:
            assert later.tokens[:n_history] == tokens[:n_history]
    assert sorted(set(prompt.places)) == list(prompt.places)
    last = max(at for at, each in enumerate(case.messages) if each["role"] == "user")
    for place in prompt.places:
        assert prompt.n_system < place < len(tokens)
        for text in () if place == min(n_history, len(tokens) - 1) else ("Hi", "1.", "\u4f60"):
            other = case.build([*case.messages[:last], user(text)])
            assert other is not None
            assert other.tokens[:place] == tokens[:place]


def check_answers(case: Case, prompt: Prompt, name: str) -> None:
    tags, answers = case.prompts.reasoning, [([said(TEXT)], user("And then?"), TEXT)]
    if case.tools:
        call, result = called("abcdefghj")
        answers.append(([call], result, "get_it"))
    for ([answer], then, mark), thoughts in product(answers, case.thoughts(prompt)):
        shown = {**answer, "reasoning_content": thoughts} if thoughts else answer
        later = case.build([*case.messages, shown, then])
        if later is None:
            continue
        closing = tags.closing if tags else ""
        is_kept = goes_on(prompt.text, later.text, mark, thought=thoughts, closing=closing)
        n_kept = prompt.history.n_kept(has_thoughts=bool(thoughts), has_calls=mark == "get_it")
        assert (n_kept is None) == is_kept, (name, thoughts, mark)
        assert later.tokens[:n_kept][: len(prompt.tokens)] == prompt.tokens[:n_kept]


@pytest.mark.skipif(not PATHS, reason=f"no published templates in {FOLDER}")
@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_later_prompts_begin_with_what_is_promised(path: Path) -> None:
    variants: list[dict[str, Any]] = [{}]
    if "enable_thinking" in path.read_text(encoding="utf-8"):
        variants.append({"enable_thinking": False})
    for name, kwargs in product(CONVERSATIONS, variants):
        case = Case(path, name, kwargs)
        if case.prompt is None:
            continue
        check_places(case, case.prompt)
        if path.stem not in UNLIKE_PROBES:
            check_answers(case, case.prompt, name)
