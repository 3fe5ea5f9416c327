"""What is found out about a template by rendering small conversations with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.chat.template import chat_template
from app.chat.template.chat_template import CHATML, ChatTemplate
from app.chat.template.deadline import DeadlinePassed, run_with_deadline
from app.chat.template.traits import TemplateTraits, probe
from app.errors import TemplateTooSlow

FOLDER = Path(__file__).parents[4] / "shared" / "data" / "templates"
PARTS = (
    "{% for m in messages %}{% if m.content is string %}{{ m.content }}{% else %}"
    "{% for part in m.content %}{{ part.text }}{% endfor %}{% endif %}{% endfor %}"
)


def traits(source: str) -> TemplateTraits:
    return ChatTemplate(source, bos_token="", eos_token="").traits


def test_a_plain_template_has_the_default_traits() -> None:
    assert traits(CHATML) == TemplateTraits()


@pytest.mark.parametrize("source", ["{{ raise_exception('no') }}", "", "{{ 1 / 0 }}"])
def test_a_template_that_refuses_everything_has_the_default_traits(source: str) -> None:
    assert traits(source) == TemplateTraits()


def test_a_template_that_iterates_over_parts_takes_them() -> None:
    assert traits(PARTS).takes_content_parts


@pytest.mark.parametrize(
    "how", ["{{ m.content }}", "{{ m.content|tojson }}", "{{ m.content|trim }}"]
)
def test_writing_parts_as_python_or_json_is_not_taking_them(how: str) -> None:
    source = "{% for m in messages %}" + how + "{% endfor %}"
    assert not traits(source).takes_content_parts


def test_a_role_that_is_only_echoed_is_not_known() -> None:
    echo = "{% for m in messages %}{{ m.role }}{{ m.content }}{% endfor %}"
    assert not traits(echo).knows_developer_role
    assert traits(
        echo + "{% if messages[0].role == 'developer' %}!{% endif %}"
    ).knows_developer_role


SAID = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
RAISES = "{{ raise_exception('late') }}{% endif %}"
NOT_FIRST = "{% for m in messages[1:] %}{% if m.role == 'system' %}"
LOSES_LATE_SYSTEM = {
    "raises": NOT_FIRST + RAISES + "{% endfor %}" + SAID,
    "drops": SAID.replace(
        "{{ m.role", "{% if m.role == 'system' %}{% continue %}{% endif %}{{ m.role"
    ),
    "hoists": NOT_FIRST + "{{ m.content }}{% endif %}{% endfor %}" + SAID,
    "raises at the end": "{% if messages[-1].role == 'system' %}" + RAISES + SAID,
}


@pytest.mark.parametrize("source", LOSES_LATE_SYSTEM.values(), ids=LOSES_LATE_SYSTEM)
def test_a_template_that_loses_instructions_after_a_question_does_not_keep_them(
    source: str,
) -> None:
    assert not traits(source).keeps_late_system


@pytest.mark.parametrize("source", [SAID, CHATML, "{{ raise_exception('no') }}"])
def test_a_template_that_writes_them_where_they_stand_keeps_them(source: str) -> None:
    assert traits(source).keeps_late_system


def test_a_template_that_adds_arguments_to_text_wants_text() -> None:
    source = (
        "{% for m in messages %}{% for c in m.tool_calls or [] %}"
        "{{ 'call ' + c.function.arguments }}{% endfor %}{% endfor %}"
    )
    assert not traits(source).wants_object_arguments


def test_a_template_that_would_write_python_wants_text() -> None:
    source = (
        "{% for m in messages %}{% for c in m.tool_calls or [] %}"
        "{{ c.function.arguments }}{% endfor %}{% endfor %}"
    )
    assert not traits(source).wants_object_arguments


def test_a_template_that_writes_no_tools_does_not_show_them() -> None:
    source = "{% for m in messages %}{{ m.content }}{% endfor %}"
    assert not traits(source).shows_tools
    assert traits(source + "{{ tools | tojson }}").shows_tools


def test_a_template_that_writes_only_contents_does_not_show_calls() -> None:
    source = "{% for m in messages %}{{ m.content }}{% endfor %}"
    assert not traits(source).shows_calls
    assert traits(source + "{{ messages | tojson }}").shows_calls


@pytest.mark.parametrize("how", ["{{ raise_exception('no') }}", ""])
def test_a_template_that_refuses_or_leaves_out_instructions_does_not_know_them(how: str) -> None:
    source = (
        "{% for m in messages %}{% if m.role == 'system' %}" + how + "{% else %}"
        "{{ m.content }}{% endif %}{% endfor %}"
    )
    assert not traits(source).knows_system_role


@pytest.mark.parametrize("first_slow", range(1, 6))
def test_a_rendering_that_the_deadline_cuts_off_decides_no_trait(
    monkeypatch: pytest.MonkeyPatch, first_slow: int
) -> None:
    template = ChatTemplate(CHATML, bos_token="", eos_token="")
    n_rendered = 0

    def slow(work: Callable[[], Any], deadline_s: float) -> Any:
        nonlocal n_rendered
        n_rendered += 1
        if n_rendered == first_slow:
            raise DeadlinePassed
        return run_with_deadline(work, deadline_s)

    monkeypatch.setattr(chat_template, "run_with_deadline", slow)
    with pytest.raises(TemplateTooSlow, match="few words"):
        _ = template.traits
    monkeypatch.undo()
    assert template.traits == TemplateTraits(), "nothing of it is kept"


def test_a_template_that_is_too_slow_without_tools_is_not_taken_for_one_that_wants_a_list(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    endless = "{% for i in range(9999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
    monkeypatch.setattr(chat_template, "_PROBE_DEADLINE_S", 0.05)
    with pytest.raises(TemplateTooSlow):
        ChatTemplate("{% if tools is none %}" + endless + "{% endif %}", bos_token="", eos_token="")


def test_probing_takes_few_renderings() -> None:
    n_rendered = 0

    def attempt(conversation: list[dict[str, Any]], tools: list[dict[str, Any]] | None) -> None:
        nonlocal n_rendered
        n_rendered += 1

    probe(attempt, "'developer'")
    assert n_rendered <= 12


@pytest.mark.parametrize(
    "how", ["c.function.arguments | items", "c.function.arguments.items()", "c.function.arguments"]
)
def test_a_template_that_goes_through_arguments_takes_no_text(how: str) -> None:
    source = (
        "{% for m in messages %}{% for c in m.tool_calls or [] %}{% for key in "
        + how
        + " %}{{ c.function.arguments['probekey'] }}{% endfor %}{% endfor %}{% endfor %}"
    )
    assert not traits(source).takes_text_arguments
    assert traits(source).wants_object_arguments


def test_a_template_that_takes_thinking_only_without_content_is_found_out() -> None:
    source = (
        "{% for m in messages %}{% if m.tool_calls and m.content and m.thinking %}"
        "{{ raise_exception('one of them') }}{% endif %}{{ m.tool_calls }}{% endfor %}"
    )
    assert traits(source).refuses_thinking_beside_calls
    assert not traits("{{ raise_exception('thinking') }}").refuses_thinking_beside_calls


@pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no published templates in {FOLDER}")
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Qwen-Qwen2.5-7B-Instruct", TemplateTraits()),
        ("Qwen3.5-4B", TemplateTraits(takes_content_parts=True, takes_text_arguments=False)),
        (
            "openai-gpt-oss-120b",
            TemplateTraits(knows_developer_role=True, refuses_thinking_beside_calls=True),
        ),
        ("meetkai-functionary-medium-v3.2", TemplateTraits(wants_object_arguments=False)),
        (
            "google-gemma-2-2b-it",
            TemplateTraits(shows_tools=False, knows_system_role=False),
        ),
        ("microsoft-Phi-3.5-mini-instruct", TemplateTraits(shows_tools=False, shows_calls=False)),
        ("LFM2-8B-A1B", TemplateTraits(shows_calls=False)),
        ("unsloth-Apriel-1.5", TemplateTraits(takes_content_parts=True)),
        (
            "deepseek-ai-DeepSeek-R1-Distill-Llama-8B",
            TemplateTraits(
                wants_object_arguments=False, wants_null_content=True, shows_tools=False
            ),
        ),
    ],
)
def test_the_traits_of_published_templates(name: str, expected: TemplateTraits) -> None:
    assert traits((FOLDER / f"{name}.jinja").read_text()) == expected


def test_a_template_may_write_descriptions_in_its_own_way() -> None:
    source = (
        "{% for m in messages %}{{ m.content }}{% endfor %}"
        "{% for t in tools or [] %}{{ t.function.description.rstrip('.') }};{% endfor %}"
    )
    assert traits(source).shows_tools
