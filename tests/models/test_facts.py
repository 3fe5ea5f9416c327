"""The facts about a model are those of its header; absent values are 0 or None."""

from __future__ import annotations

import io
from typing import Any

import pytest

from app.models import gguf
from app.models.cache_shape import AttentionLayers, CacheShape
from app.models.compute_shape import ComputeShape
from app.models.facts import ModelFacts, model_facts
from app.models.gguf import GgufError, GgufHeader, read_header
from tests.models.gguf_files import LLAMA_VALUES, header, llama


def read(data: bytes, *, facts_only: bool = False) -> GgufHeader:
    return read_header(io.BytesIO(data), len(data), facts_only=facts_only)


def facts_of(data: bytes, *, facts_only: bool = False) -> ModelFacts:
    return model_facts(read(data, facts_only=facts_only))


def test_the_facts_of_a_model_are_those_of_its_header() -> None:
    assert facts_of(llama()) == ModelFacts(
        architecture="llama",
        name="Tiny",
        n_ctx_train=2048,
        n_layer=4,
        n_embd=256,
        n_head=8,
        n_head_kv=2,
        key_length=32,
        value_length=32,
        n_vocab=3,
        file_type="Q4_K_M",
        has_chat_template=True,
        cache=CacheShape(AttentionLayers(4, 256, 256, 256)),
        compute=ComputeShape(widest=5 * 256, scoring=8 * 256, recurring=3 * 256),
        tokenizer="gpt2",
    )


def test_stopping_early_gives_the_shape_and_leaves_the_rest_unknown() -> None:
    found = read(llama(), facts_only=True)
    facts = model_facts(found)
    assert not found.complete
    assert (facts.n_layer, facts.n_ctx_train, facts.n_vocab) == (4, 2048, 3)
    assert facts.has_chat_template is None
    assert facts.file_type is None


def test_reading_does_not_stop_before_the_shape_is_known() -> None:
    reordered = {"tokenizer.ggml.tokens": ["a", "b"], **LLAMA_VALUES}
    found = read(header(reordered), facts_only=True)
    assert found.complete
    assert model_facts(found).n_layer == 4


def test_a_model_without_a_chat_template_says_so() -> None:
    assert facts_of(llama(tokenizer__chat_template=None)).has_chat_template is False
    assert facts_of(llama(tokenizer__chat_template="")).has_chat_template is False
    long = "x" * (gguf.MAX_KEPT_STRING_BYTES + 1)
    assert facts_of(llama(tokenizer__chat_template=long)).has_chat_template is True


def test_heads_that_differ_between_layers_are_added_up() -> None:
    facts = facts_of(llama(llama__attention__head_count_kv=[8, 0, 0, 8]))
    assert (facts.n_head_kv, facts.cache.attending.n_keys) == (8, 16 * 32)


def test_key_value_heads_are_the_heads_where_the_header_is_silent() -> None:
    facts = facts_of(llama(llama__attention__head_count_kv=None))
    assert (facts.n_head_kv, facts.cache.attending.n_keys) == (8, 32 * 32)


def test_stated_head_lengths_win_over_the_embedding_width() -> None:
    facts = facts_of(llama(llama__attention__key_length=128, llama__attention__value_length=64))
    assert (facts.key_length, facts.value_length) == (128, 64)


def test_a_model_without_attention_heads_has_no_key_length() -> None:
    heads = {"llama__attention__head_count": None, "llama__attention__head_count_kv": None}
    facts = facts_of(llama(**heads))
    assert (facts.n_head, facts.key_length, facts.cache.attending.n_keys) == (0, 0, 0)


def test_a_vocabulary_may_be_stated_by_its_size() -> None:
    facts = facts_of(llama(tokenizer__ggml__tokens=None, llama__vocab_size=32_000))
    assert facts.n_vocab == 32_000


def test_a_window_is_found_where_the_architecture_slides_one() -> None:
    window = {"attention.sliding_window": 512, "block_count": 4}
    values = {f"gemma3.{key}": value for key, value in window.items()}
    facts = facts_of(llama(general__architecture="gemma3", **values))
    assert facts.cache.window == 512
    assert facts_of(llama(llama__attention__sliding_window=512)).cache.window == 0


@pytest.mark.parametrize("value", ["wide", 1.5, [512, 0, 512, 0]])
def test_odd_values_of_keys_that_llama_cpp_may_not_read_refuse_no_model(value: Any) -> None:
    assert facts_of(llama(llama__attention__sliding_window=value)).n_layer == 4
    assert facts_of(llama(llama__ssm__inner_size=value)).n_layer == 4


@pytest.mark.parametrize(
    ("number", "name"),
    [(0, "F32"), (1, "F16"), (2, "Q4_0"), (7, "Q8_0"), (1024 + 18, "Q6_K"), (999, "type 999")],
)
def test_quantisations_have_their_usual_names(number: int, name: str) -> None:
    assert facts_of(llama(general__file_type=number)).file_type == name


def test_headers_without_sense_are_refused() -> None:
    with pytest.raises(GgufError, match="architecture"):
        facts_of(llama(general__architecture=None))
    with pytest.raises(GgufError, match="block_count"):
        facts_of(llama(llama__block_count="four"))
    with pytest.raises(GgufError, match="head_count"):
        facts_of(llama(llama__attention__head_count=[-1, 2]))
