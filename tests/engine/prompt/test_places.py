"""Later prompts begin with the places of a prompt, whatever the template does to the history."""

from __future__ import annotations

from typing import Any

import pytest

from app.engine.prompt.builder import Prompt, PromptBuilder
from app.engine.prompt.places import MIN_APART, spread
from app.errors import TemplateTooSlow
from tests.engine.prompt.test_builder import Letters, generate, prefill, user

SYSTEM = {"role": "system", "content": "Be brief and kind, and say what is so."}
QUESTION = "What is it that you want to say?"
# As Qwen3.5: thoughts are opened by the prompt, and left out of all turns but the last.
DROPPING = """\
{%- set seen = namespace(last=0) %}
{%- for m in messages if m.role == 'user' %}{% set seen.last = loop.index0 %}{% endfor %}
{%- set turn = namespace(at=-1) %}
{%- for tool in tools or [] %}{{ tool | tojson }}{% endfor %}
{%- for m in messages %}
{%- if m.role == 'user' %}{% set turn.at = turn.at + 1 %}{% endif %}
{{- '<|' + m.role + '|>' }}
{%- if m.role == 'assistant' and turn.at == seen.last %}
{{- '<think>' + (m.reasoning_content or '') + '</think>' }}{% endif %}
{{- m.content }}
{%- for call in m.tool_calls or [] %}
{{- '<tool_call>' + {'name': call.function.name, 'arguments': call.function.arguments} | tojson }}
{{- '</tool_call>' }}{% endfor %}
{{- '$' }}
{%- endfor %}
{{- '<|assistant|><think>' if add_generation_prompt }}
"""
KEEPING = DROPPING.replace("and turn.at == seen.last", "")


def answer(text: str, thoughts: str = "") -> dict[str, Any]:
    return {"role": "assistant", "content": text, "reasoning_content": thoughts}


def finder(template: str | None = DROPPING) -> PromptBuilder:
    return PromptBuilder(Letters(), template, n_ctx=10_000, finds_places=True)


def text(prompt: Prompt, n_tokens: int) -> str:
    return "".join(map(chr, prompt.tokens[:n_tokens]))


def test_the_place_of_the_history_is_before_what_opens_the_answer_in_another_way() -> None:
    prompt = finder().build(generate(SYSTEM, user(QUESTION)))
    assert prompt.places == (prompt.history.n_history,)
    assert text(prompt, prompt.places[0]).endswith(f"{QUESTION}$<|assistant|>")


def test_the_start_of_the_last_question_is_a_place() -> None:
    messages = [SYSTEM, user("Hi"), answer("Well, " * 5), user(QUESTION)]
    prompt = finder().build(generate(*messages))
    start, end = prompt.places
    assert text(prompt, start).endswith("Well, $<|user|>")
    assert text(prompt, end).endswith(f"{QUESTION}$<|assistant|>")


@pytest.mark.parametrize("begin", ["Hello", "hello", "1", ""])
@pytest.mark.parametrize("is_parts", [False, True])
def test_the_start_of_a_question_does_not_depend_on_the_question(
    begin: str, is_parts: bool
) -> None:
    text_of_it = f"{begin}, and so on and so forth"
    content = [{"type": "text", "text": text_of_it}] if is_parts else text_of_it
    messages = [SYSTEM, user("Hi"), answer("Well, " * 5)]
    prompt = finder().build(generate(*messages, user(content), answer("So."), user(content)))
    assert text(prompt, prompt.places[0]).endswith("So.$<|user|>")


def test_after_results_the_history_ends_where_thoughts_will_be_left_out() -> None:
    call = {"id": "abcdefghi", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = [SYSTEM, user(QUESTION), {**answer("", "Hm."), "tool_calls": [call]}]
    result = {"role": "tool", "tool_call_id": "abcdefghi", "content": "Done, and more than that."}
    prompt = finder().build(generate(*messages, result))
    kept_text = text(prompt, prompt.history.n_history)
    assert kept_text.endswith(f"{QUESTION}$<|assistant|><t"), "of <think> and <tool_call>"
    kept = finder(KEEPING).build(generate(*messages, result))
    assert text(kept, kept.history.n_history).endswith("that.$<|assistant|><think>")


def test_where_all_of_a_prompt_is_kept_the_place_is_before_its_last_token() -> None:
    prompt = finder(None).build(generate(SYSTEM, user(QUESTION)))
    assert prompt.history.n_history == len(prompt.tokens)
    assert prompt.places == (len(prompt.tokens) - 1,)


def test_a_prefill_has_the_places_of_its_prompt() -> None:
    messages = [SYSTEM, user("Hi"), answer("Well, " * 5), user(QUESTION)]
    prompts = finder()
    assert prompts.build(prefill(*messages)).places == prompts.build(generate(*messages)).places
    assert prompts.build(prefill(SYSTEM)).places == ()


def test_a_template_that_refuses_other_conversations_has_no_such_places() -> None:
    picky = "{% if messages|length > 2 %}{{ raise_exception('no') }}{% endif %}" + DROPPING
    prompt = finder(picky).build(generate(SYSTEM, user(QUESTION)))
    assert (prompt.places, prompt.history.n_history) == ((), 0)


def test_a_template_that_is_too_slow_fails_no_request(monkeypatch: pytest.MonkeyPatch) -> None:
    prompts = finder()
    render = prompts._template.render
    n_rendered = 0

    def slow(*args: Any, **more: Any) -> str:
        nonlocal n_rendered
        n_rendered += 1
        if n_rendered > 1:
            raise TemplateTooSlow("it ran for more than 5 s")
        return render(*args, **more)

    monkeypatch.setattr(prompts._template, "render", slow)
    prompt = prompts.build(generate(SYSTEM, user(QUESTION)))
    assert (prompt.places, prompt.history.n_history) == ((), 0)
    assert prompt.history.n_kept(has_thoughts=True, has_calls=False) is None


@pytest.mark.parametrize(("finds_places", "n_more"), [(True, 2), (False, 0)])
def test_finding_places_costs_two_renderings(
    monkeypatch: pytest.MonkeyPatch, finds_places: bool, n_more: int
) -> None:
    prompts = PromptBuilder(Letters(), DROPPING, n_ctx=10_000, finds_places=finds_places)
    command = generate(SYSTEM, user("Hi"), answer("Well."), user(QUESTION))
    prompts.build(command)  # finds out what does not depend on the prompt
    render, rendered = prompts._template.render, []

    def counted(*args: Any, **more: Any) -> str:
        rendered.append(args)
        return render(*args, **more)

    monkeypatch.setattr(prompts._template, "render", counted)
    assert bool(prompts.build(command).places) == finds_places
    assert len(rendered) == 1 + n_more


def test_places_are_apart_but_for_that_of_the_history() -> None:
    assert spread(100, 20, question=50, n_history=90) == (50, 90)
    assert spread(100, 20, question=50, n_history=100) == (50, 99)
    assert spread(100, 20, question=20 + MIN_APART - 1, n_history=90) == (90,)
    assert spread(100, 20, question=90 - MIN_APART + 1, n_history=90) == (90,)
    assert spread(100, 20, question=50, n_history=21) == (21, 50)
    assert spread(100, 20, question=50, n_history=0) == (50,)
    assert spread(100, 20, question=0, n_history=20) == ()
    assert spread(1, 0, question=0, n_history=1) == ()
