"""A model answers to its file name, without `.gguf`, with `:latest`, to aliases, in any case."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.models.names import Naming, meant

FILES = ["Qwen3-4B.gguf", "small.GGUF"]
ALIASES = {"assistant": "qwen3-4b", "Claude-Local": "small.GGUF", "tagged:latest": "small"}


@pytest.mark.parametrize(
    ("asked", "file"),
    [
        ("Qwen3-4B.gguf", "Qwen3-4B.gguf"),
        ("Qwen3-4B", "Qwen3-4B.gguf"),
        ("Qwen3-4B:latest", "Qwen3-4B.gguf"),
        ("Qwen3-4B.gguf:latest", "Qwen3-4B.gguf"),
        ("qwen3-4b", "Qwen3-4B.gguf"),
        ("QWEN3-4B.GGUF:LATEST", "Qwen3-4B.gguf"),
        ("small", "small.GGUF"),
        ("small.gguf", "small.GGUF"),
        ("assistant", "Qwen3-4B.gguf"),
        ("Assistant:latest", "Qwen3-4B.gguf"),
        ("claude-local", "small.GGUF"),
        ("tagged", "small.GGUF"),
        ("tagged:latest", "small.GGUF"),
        ("TAGGED:Latest", "small.GGUF"),
    ],
)
def test_a_name_means_one_file(asked: str, file: str) -> None:
    assert meant(asked, FILES, ALIASES) == [file]


@pytest.mark.parametrize(
    "asked",
    ["", ":latest", "qwen3", "Qwen3-4B:", "Qwen3-4B:4b", "Qwen3-4B:latest:latest", "gpt-4o",
     "latest", "assistant.gguf", " assistant", ".gguf"],
)  # fmt: skip
def test_other_names_mean_nothing(asked: str) -> None:
    assert meant(asked, FILES, ALIASES) == []


def test_exact_spelling_comes_before_another_case() -> None:
    files = ["M.gguf", "m.gguf"]
    assert meant("m", files, {}) == ["m.gguf"]
    assert meant("M.gguf:latest", files, {}) == ["M.gguf"]
    assert meant("m.GGUF", files, {}) == files


def test_a_tag_that_is_part_of_a_files_name_is_not_removed() -> None:
    files = ["m.gguf", "m:latest.gguf"]
    assert meant("m:latest", files, {}) == ["m:latest.gguf"]
    assert meant("m", files, {}) == ["m.gguf"]


def test_a_file_comes_before_an_alias_and_an_exact_alias_before_another_case() -> None:
    files = ["a.gguf", "B.gguf"]
    assert meant("a", files, {"a": "B"}) == ["a.gguf"]
    assert meant("b", files, {"b": "a"}) == ["a.gguf"]


def test_the_model_of_an_alias_is_a_file_and_not_another_alias() -> None:
    assert meant("x", ["a.gguf"], {"x": "y", "y": "a"}) == []


def test_a_model_that_an_alias_means_twice_is_ambiguous() -> None:
    files = ["M.gguf", "m.gguf"]
    assert meant("x", files, {"x": "m.GGUF"}) == files


def test_the_aliases_of_a_file_are_those_that_mean_it() -> None:
    naming = Naming({"assistant": "qwen3-4b", "fast": "small", "small": "qwen3-4b"})
    assert naming.aliases_of("Qwen3-4B.gguf", FILES) == ["assistant"]
    assert naming.aliases_of("small.GGUF", FILES) == ["fast", "small"]


def test_an_alias_without_effect_is_told() -> None:
    naming = Naming({"Small": "Qwen3-4B", "gone": "nowhere", "fine": "small"})
    assert naming.faults(FILES) == [
        "alias 'Small' of Qwen3-4B is the name of the file small.GGUF",
        "alias 'gone' is of nowhere, which is not in the models folder",
    ]


def test_a_configured_name_is_found_by_any_form_of_its_alias() -> None:
    naming = Naming({"assistant": "qwen3-4b"})
    assert naming.configured("Assistant:latest") == "qwen3-4b"
    assert naming.configured("other") == "other"


@given(st.text(max_size=20))
def test_no_name_is_too_strange_to_be_looked_up(asked: str) -> None:
    assert set(meant(asked, FILES, ALIASES)) <= set(FILES)
    assert meant(f"{asked}.gguf", [f"{asked}.gguf"], {}) == [f"{asked}.gguf"]
