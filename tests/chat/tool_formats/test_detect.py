"""Which tool format a template's text gives away."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.chat.template.chat_template import CHATML
from app.chat.tool_formats import FORMATS, detect

FOLDER = Path(__file__).parents[4] / "shared" / "data" / "templates"


def test_chatml_asks_for_hermes_calls() -> None:
    found = detect(CHATML)
    assert found is not None
    assert found.name == "hermes"
    assert found.tags == ("<tool_call>", "</tool_call>")


def test_a_template_without_tools_has_no_format() -> None:
    assert detect("{{ messages[0].content }}") is None


def test_the_same_tag_around_xml_is_another_format() -> None:
    assert detect("<tool_call>\n<function=name>") is None


def test_formats_have_names_of_their_own() -> None:
    assert len({known.name for known in FORMATS}) == len(FORMATS)


@pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no published templates in {FOLDER}")
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Qwen-Qwen2.5-7B-Instruct", "hermes"),
        ("Qwen-Qwen3-0.6B", "hermes"),
        ("NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use", "hermes"),
        ("Qwen3-Coder", "xml-functions"),
        ("GLM-4.6", "glm"),
        ("google-gemma-2-2b-it", None),
    ],
)
def test_published_templates(name: str, expected: str | None) -> None:
    found = detect((FOLDER / f"{name}.jinja").read_text())
    assert (found.name if found else None) == expected
