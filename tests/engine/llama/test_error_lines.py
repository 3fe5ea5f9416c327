"""The line that says why a load failed is found among those that only say that it did."""

from __future__ import annotations

import pytest

from app.engine.llama.error_lines import cause

GAVE_UP = "llama_model_load_from_file_impl: failed to load model"


def test_without_any_line_there_is_no_cause() -> None:
    assert cause([]) is None


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (
            ["llama_model_load: error loading model: error loading model hyperparameters: "
             "key not found in model: qwen3.context_length", GAVE_UP],
            "error loading model hyperparameters: key not found in model: qwen3.context_length",
        ),
        (
            ["gguf_init_from_reader: tensor 'a' has invalid ggml type 99. should be in [0, 43)",
             "gguf_init_from_reader: failed to read tensor info",
             "llama_model_load: error loading model: llama_model_loader: failed to load model "
             "from /a/m.gguf", GAVE_UP],
            "tensor 'a' has invalid ggml type 99. should be in [0, 43)",
        ),
        (
            ["llama_model_load: error loading model: check_tensor_dims: tensor 'a' not found"],
            "tensor 'a' not found",
        ),
        (
            ["llama_model_load: error loading model: error loading model vocabulary: "
             "cannot find tokenizer merges in model file", GAVE_UP],
            "error loading model vocabulary: cannot find tokenizer merges in model file",
        ),
        (
            ["something: went wrong", "ggml_aligned_malloc: insufficient memory (12.5 MB)"],
            "insufficient memory (12.5 MB)",
        ),
        (
            ["gguf_init_from_reader: failed to read magic", GAVE_UP],
            "failed to read magic",
        ),
        (
            ["llama_init_from_model: failed to initialize the context: std::bad_alloc"],
            "failed to initialize the context: out of memory (std::bad_alloc)",
        ),
        ([GAVE_UP], "failed to load model"),
    ],
)  # fmt: skip
def test_the_first_line_that_names_something_is_the_cause(lines: list[str], expected: str) -> None:
    assert cause(lines) == expected


def test_a_long_line_is_cut() -> None:
    assert cause(["'" + "x" * 10_000]) == "'" + "x" * 399 + "…"


def test_of_a_name_without_an_end_no_more_is_read_than_is_shown() -> None:
    assert cause(["'" + "a_" * 500_000 + ": x"]) == "'" + "a_" * 199 + "a…"
