"""Random models of every architecture load, answer in digits, and answer by what was said.

Covers `scripts.benchmark.architectures` and `scripts.benchmark.chat_templates`.
"""

from __future__ import annotations

from pathlib import Path

import llama_cpp
import pytest

from app.models.gguf import read_header
from scripts.benchmark.architectures import ARCHITECTURES, Sizes, is_recurrent
from scripts.benchmark.random_model import shape

FILLER = "Nobody knows what a day in the house brings. " * 20
ANSWER = set("0123456789\n</think>")


@pytest.mark.slow
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_an_answer_is_made_of_digits_and_depends_on_the_first_words(
    name: str, tmp_path: Path
) -> None:
    model = llama_cpp.Llama(
        str(shape(name, tmp_path / "a.gguf")), n_ctx=2048, n_threads=1, verbose=False
    )
    answers = []
    for word in ("red", "green", "blue", "white"):
        messages = [
            {"role": "system", "content": f"The lamp is {word}. {FILLER}"},
            {"role": "user", "content": "What is it?"},
        ]
        told = model.create_chat_completion(messages, temperature=0, max_tokens=24)  # type: ignore[arg-type]
        answers.append(str(told["choices"][0]["message"]["content"]))  # type: ignore[index]
    model.close()
    assert set("".join(answers)) <= ANSWER
    assert len(set(answers)) > 2


@pytest.mark.slow
def test_digits_tokenise_back_to_what_was_generated(tmp_path: Path) -> None:
    path = shape("qwen3", tmp_path / "a.gguf")
    model = llama_cpp.Llama(str(path), vocab_only=True, verbose=False)
    assert len(model.tokenize(b"0123456789", add_bos=False)) == 10
    model.close()


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_sizes_and_template_are_those_asked_for(name: str, tmp_path: Path) -> None:
    path = shape(name, tmp_path / "a.gguf", template="<|im_end|>", n_layer=4, n_window=64)
    with path.open("rb") as file:
        values = read_header(file, path.stat().st_size).values
    assert values[f"{name}.block_count"] == 4
    assert values["tokenizer.chat_template"] == "<|im_end|>"
    if name == "gemma3":
        assert values["gemma3.attention.sliding_window"] == 64


def test_another_seed_gives_other_weights_and_the_same_seed_the_same(tmp_path: Path) -> None:
    first, again, other = (
        shape("lfm2", tmp_path / f"{number}.gguf", seed=seed).read_bytes()
        for number, seed in enumerate((0, 0, 1))
    )
    assert first == again
    assert first != other


def test_recurrent_layers_stand_where_the_pattern_says() -> None:
    sizes = Sizes(n_layer=4)
    assert is_recurrent("qwen3", sizes) == [False] * 4
    assert is_recurrent("qwen35", sizes) == [True, True, True, False]
    assert is_recurrent("lfm2", Sizes(n_layer=4, layers="ra")) == [True, False, True, False]
