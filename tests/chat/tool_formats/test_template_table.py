"""The page about chat templates tells what they do."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.chat.template.chat_template import CHATML, ChatTemplate
from scripts.template_table.shapes import SHAPES
from scripts.template_table.table import knows, page

ROOT = Path(__file__).parents[3]
FOLDER = ROOT.parent / "shared" / "data" / "templates"
ECHO = "{% for m in messages %}{{ m.content }};{% endfor %}"


def known(source: str) -> set[str]:
    template = ChatTemplate(source, bos_token="", eos_token="")
    return {shape.name for shape in SHAPES if knows(template, shape)}


def test_chatml_knows_all_but_reasoning() -> None:
    assert known(CHATML) == {shape.name for shape in SHAPES} - {"reasoning", "thinking"}


def test_what_a_template_leaves_out_it_does_not_know() -> None:
    assert known(ECHO) == {"system", "developer", "turns", "result", "parts", "continued"}
    assert "opening" in known(ECHO + "{{ add_generation_prompt }}")
    assert "thinking" in known(ECHO + "{{ enable_thinking }}")


def test_a_template_that_refuses_everything_knows_nothing() -> None:
    assert known("{{ raise_exception('no') }}") == set()


def test_a_file_that_is_no_template_has_a_row_of_its_own(tmp_path: Path) -> None:
    broken = tmp_path / "bad.jinja"
    broken.write_text("{% if %}")
    (row,) = (line for line in page([broken]).splitlines() if line.startswith("| bad "))
    assert "ok" not in row
    assert row.count("|") == len(SHAPES) + 3


@pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no published templates in {FOLDER}")
def test_the_page_in_the_docs_is_what_the_script_writes() -> None:
    written = (ROOT / "docs" / "templates.md").read_text(encoding="utf-8")
    assert written == page(sorted(FOLDER.glob("*.jinja"))), "run scripts/templates"
