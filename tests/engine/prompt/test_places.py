"""Later prompts begin with the places of a prompt, whatever the template does to the history."""

from __future__ import annotations

from typing import Any

import pytest

from app.engine.prompt.builder import Prompt, PromptBuilder
from app.engine.prompt.places import MIN_APART, spread, with_marks
from app.errors import TemplateTooSlow
from app.protocol import CacheMark
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


# ---------------------------------------------------------------- marks


def marked_texts(
    *messages: dict[str, Any], marks: list[CacheMark], template: str | None = DROPPING
) -> list[str]:
    """Return the texts up to the marks of a prompt."""
    prompt = finder(template).build(generate(*messages, cache_marks=marks))
    return [text(prompt, at) for at in prompt.marks]


def parts(*texts: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": each} for each in texts]


def test_a_mark_on_instructions_or_tools_is_where_the_head_ends() -> None:
    for mark in (CacheMark(), CacheMark(messages=1)):
        prompt = finder().build(generate(SYSTEM, user(QUESTION), cache_marks=[mark]))
        assert prompt.marks == (prompt.n_system,)
        assert prompt.n_system > 0


@pytest.mark.parametrize("template", [DROPPING, KEEPING])
def test_a_mark_is_at_the_end_of_its_message_whatever_the_template_does_later(
    template: str,
) -> None:
    messages = [SYSTEM, user("Hi"), answer("Well, " * 5, "Hm."), user(QUESTION)]
    (asked, answered, all_) = marked_texts(
        *messages, marks=[CacheMark(messages=n) for n in (2, 3, 4)], template=template
    )
    assert asked.endswith("<|user|>Hi$")
    assert answered.endswith("Well, $<|user|>"), "prompts go on with the user"
    assert all_.endswith(f"{QUESTION}$")


def test_a_mark_within_a_message_is_behind_its_parts() -> None:
    message = user(parts("A long book. " * 3, "What is it about?"))
    (book,) = marked_texts(SYSTEM, message, marks=[CacheMark(messages=1, parts=1)])
    assert book.endswith("A long book. A long book. A long book. \n")


@pytest.mark.parametrize("begin", ["Hello", "1", "What"])
def test_a_mark_does_not_depend_on_what_follows(begin: str) -> None:
    message = user(parts("A long book.", f"{begin} is it?"))
    (book,) = marked_texts(SYSTEM, message, marks=[CacheMark(messages=1, parts=1)])
    assert book.endswith("A long book.\n")
    later = [SYSTEM, user("Hi"), answer("So."), user(f"{begin} is it?")]
    (answered,) = marked_texts(*later, marks=[CacheMark(messages=3)])
    assert answered.endswith("So.$<|user|>")


@pytest.mark.parametrize("begin", ["Hello", "1", "What"])
def test_a_mark_within_a_text_is_behind_its_characters(begin: str) -> None:
    messages = [SYSTEM, user(f"A long book.{begin} is it?"), answer("So."), user("Hi")]
    marks = [CacheMark(messages=1, characters=len("A long book."))]
    (book,) = marked_texts(*messages, marks=marks)
    assert book.endswith("A long book.")
    (whole,) = marked_texts(*messages, marks=[CacheMark(messages=1, characters=10**6)])
    assert whole.endswith("is it?$")


def test_a_mark_behind_all_parts_of_a_message_is_at_its_end() -> None:
    messages = [SYSTEM, user(parts("A", "B")), answer("So."), user("Hi")]
    for n_parts in (2, 7):
        (at,) = marked_texts(*messages, marks=[CacheMark(messages=1, parts=n_parts)])
        assert at.endswith("B$")


def test_only_the_last_four_marks_count_and_none_reaches_beyond_the_prompt() -> None:
    messages = [user("Hi"), answer("So."), user("Hi"), answer("So."), user("Hi")]
    marks = [CacheMark(messages=n) for n in (1, 2, 3, 4, 5)]
    assert len(marked_texts(*messages, marks=marks)) == 4
    prompt = finder().build(generate(*messages, cache_marks=[CacheMark(messages=10**9)]))
    assert 0 < prompt.marks[0] < len(prompt.tokens)


def test_a_mark_at_which_a_template_goes_on_in_no_other_way_is_left_out() -> None:
    picky = "{% if messages|length != 2 %}{{ raise_exception('no') }}{% endif %}" + DROPPING
    assert marked_texts(SYSTEM, user("Hi"), marks=[CacheMark(messages=5)], template=picky)


def test_prompts_can_go_on_from_a_mark() -> None:
    message = user(parts("A long book. " * 3, "What is it about, in a few words?"))
    prompt = finder().build(generate(SYSTEM, message, cache_marks=[CacheMark(messages=1, parts=1)]))
    assert set(prompt.marks) < set(prompt.places)


def test_a_mark_just_behind_a_place_needs_none_of_its_own() -> None:
    assert with_marks((100,), 50, (100 + MIN_APART - 1, 50, 51)) == (100,)
    assert with_marks((100,), 50, (99, 100 + MIN_APART)) == (99, 100, 100 + MIN_APART)


def test_without_marks_nothing_more_is_rendered(monkeypatch: pytest.MonkeyPatch) -> None:
    prompts = finder()
    n_rendered: list[int] = []
    render = prompts._template.render

    def counted(*args: Any, **more: Any) -> str:
        n_rendered[-1] += 1
        return render(*args, **more)

    monkeypatch.setattr(prompts._template, "render", counted)
    for marks in ([], [], [CacheMark()], [CacheMark(messages=2)]):
        n_rendered.append(0)
        prompts.build(generate(SYSTEM, user(QUESTION), cache_marks=marks))
    assert n_rendered[1] == n_rendered[2] == n_rendered[3] - 1
