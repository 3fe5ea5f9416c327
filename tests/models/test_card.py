"""What clients are told of a model is in its header."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from app.chat.parsing.reasoning_tags import detect_reasoning
from app.chat.tool_formats import detect
from app.models.card import shows_thoughts
from app.models.catalog import Catalog
from tests.models.gguf_files import write_llama


def card(tmp_path: Path, **values: Any) -> Any:
    write_llama(tmp_path / "a.gguf", **values)
    catalog = Catalog(tmp_path)
    return catalog.card(catalog.find("a"))


def test_the_parameters_are_the_elements_of_the_tensors(tmp_path: Path) -> None:
    assert card(tmp_path).n_params > 0


def test_the_basename_is_the_name_where_there_is_no_other(tmp_path: Path) -> None:
    assert card(tmp_path).basename == "Tiny"
    assert card(tmp_path, general__basename="Base").basename == "Base"


@pytest.mark.parametrize(
    ("template", "thinks"),
    [
        ("{{ messages }}", False),
        ("{% if enable_thinking %}<think>{% endif %}", True),
        ("{{ message.reasoning_content }}", True),
        ("{{ '<think>' }}x{{ '</think>' }}", True),
        ("{{ message.thinking }}", True),
        ("I am rethinking_this", False),
    ],
)
def test_a_template_that_shows_thoughts_is_known(
    tmp_path: Path, template: str, *, thinks: bool
) -> None:
    assert card(tmp_path, tokenizer__chat_template=template).shows_thoughts == thinks


GAPS = ["<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"]


def test_the_tokens_for_text_in_the_middle_are_found_in_the_vocabulary(tmp_path: Path) -> None:
    assert card(tmp_path, tokenizer__ggml__tokens=["a", *GAPS]).fills_gaps
    assert not card(tmp_path, tokenizer__ggml__tokens=["a", *GAPS[:2]]).fills_gaps
    longer = [f"{text}x" for text in GAPS]
    assert not card(tmp_path, tokenizer__ggml__tokens=longer).fills_gaps


def test_the_tokens_for_text_in_the_middle_may_be_named_by_keys(tmp_path: Path) -> None:
    keys = {f"tokenizer__ggml__fim_{part}_token_id": 1 for part in ("pre", "suf", "mid")}
    assert card(tmp_path, **keys).fills_gaps


TEMPLATES = Path(__file__).parents[3] / "shared" / "data" / "templates"


@pytest.mark.skipif(not TEMPLATES.is_dir(), reason="there is no folder of published templates")
def test_published_templates_show_thoughts_where_the_engine_would_read_some() -> None:
    for path in TEMPLATES.iterdir():
        source = path.read_text()
        known = detect(source)
        reads = detect_reasoning(source) is not None
        reads = reads or (known is not None and known.thoughts is not None)
        assert (path.name, shows_thoughts(source)) == (path.name, reads)
