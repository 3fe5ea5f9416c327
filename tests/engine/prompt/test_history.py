"""What later prompts keep of a prompt and its answer is known when the answer is."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from app.engine.prompt.builder import PromptBuilder
from app.engine.prompt.history import AnswersKept, History, goes_on
from app.errors import TemplateTooSlow
from tests.engine.prompt.test_builder import Letters, generate, user
from tests.engine.prompt.test_places import DROPPING, KEEPING, QUESTION, SYSTEM, finder

TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
NONE = AnswersKept(text=False, thoughts=False, calls=False, thoughts_of_calls=False)


@pytest.mark.parametrize(("has_thoughts", "has_calls"), [*product([False, True], repeat=2)])
def test_each_kind_of_answer_is_told_apart(has_thoughts: bool, has_calls: bool) -> None:
    name = {
        (False, False): "text",
        (True, False): "thoughts",
        (False, True): "calls",
        (True, True): "thoughts_of_calls",
    }[has_thoughts, has_calls]
    only = AnswersKept(
        text=name == "text",
        thoughts=name == "thoughts",
        calls=name == "calls",
        thoughts_of_calls=name == "thoughts_of_calls",
    )
    for other_thoughts, other_calls in product([False, True], repeat=2):
        is_it = (other_thoughts, other_calls) == (has_thoughts, has_calls)
        kept = History(50, 50, only).n_kept(has_thoughts=other_thoughts, has_calls=other_calls)
        assert kept == (None if is_it else 50)


def test_without_the_answer_the_history_remains_or_else_the_prompt() -> None:
    assert History(50, 40, NONE).n_kept(has_thoughts=False, has_calls=False) == 40
    assert History(50, 0, NONE).n_kept(has_thoughts=False, has_calls=False) == 50
    assert (History(50, 40).n_without_answer, History(50, 0).n_without_answer) == (40, 50)
    assert History().n_without_answer is None, "nothing is known of a raw prompt"


def test_text_is_not_kept_behind_a_prompt_whose_end_is_not() -> None:
    assert History(50, 40).n_kept(has_thoughts=False, has_calls=False) == 40
    assert History(50, 50).n_kept(has_thoughts=False, has_calls=False) is None
    assert History(50, 0).n_kept(has_thoughts=False, has_calls=False) is None


def kinds(template: str | None, *, finds_places: bool = True, **more: Any) -> list[bool]:
    """Return which answers are kept: with thoughts or not, and with calls or not."""
    prompts = PromptBuilder(Letters(), template, n_ctx=10_000, finds_places=finds_places)
    history = prompts.build(generate(SYSTEM, user(QUESTION), tools=[TOOL], **more)).history
    both = product([False, True], repeat=2)
    return [history.n_kept(has_thoughts=t, has_calls=c) is None for c, t in both]


@pytest.mark.parametrize("finds_places", [True, False])
def test_a_template_that_drops_older_thoughts_keeps_those_of_calls(finds_places: bool) -> None:
    text, thoughts, _, thoughts_of_calls = kinds(DROPPING, finds_places=finds_places)
    assert (text, thoughts, thoughts_of_calls) == (False, False, True)


def test_a_template_that_keeps_thoughts_keeps_all_answers_with_some() -> None:
    assert kinds(KEEPING) == [False, True, False, True]


def test_a_template_that_shows_no_thoughts_keeps_all_answers_without_any() -> None:
    assert kinds(None) == [True, False, True, False]


def test_the_variables_of_a_template_count() -> None:
    template = DROPPING.replace(
        "and turn.at == seen.last", "and (preserve or turn.at == seen.last)"
    )
    assert not kinds(template)[1]
    assert kinds(template, template_kwargs={"preserve": True})[1]


def test_probes_are_rendered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    prompts = PromptBuilder(Letters(), DROPPING, n_ctx=10_000)
    render, rendered = prompts._template.render, []

    def counted(*args: Any, **more: Any) -> str:
        rendered.append(args)
        return render(*args, **more)

    monkeypatch.setattr(prompts._template, "render", counted)
    for question in ("a", "b", "c"):
        prompts.build(generate(user(question)))
    assert len(rendered) == 3 + 5


def test_a_template_that_was_too_slow_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    prompts = finder()
    render = prompts._template.render
    is_slow = True

    def slow(messages: Any, **more: Any) -> str:
        if is_slow and messages[-1]["content"] != QUESTION:
            raise TemplateTooSlow("it ran for more than 5 s")
        return render(messages, **more)

    monkeypatch.setattr(prompts._template, "render", slow)
    command = generate(user(QUESTION))
    assert prompts.build(command).history.n_kept(has_thoughts=True, has_calls=False) is None
    is_slow = False
    assert prompts.build(command).history.n_kept(has_thoughts=True, has_calls=False) is not None


def test_an_answer_goes_on_from_its_prompt_as_a_model_generates_it() -> None:
    assert goes_on("ask:", "ask:so.", "so", closing="</think>")
    assert goes_on("ask:", "ask: final so.", "so", closing="</think>")
    assert goes_on("ask:", "ask:<think>hm</think>so.", "so", thought="hm", closing="</think>")
    assert not goes_on("ask:", "ask:<think></think>so.", "so", closing="</think>")
    assert not goes_on("ask:", "ask:so.", "so", thought="hm", closing="</think>")
    assert not goes_on("ask:<think>", "ask:so.", "so", closing="</think>")
    assert not goes_on("ask:", "ask:", "so")
