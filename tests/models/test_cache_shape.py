"""What a model keeps of a sequence: keys and values of a token, and recurrent states."""

from __future__ import annotations

from typing import Any

from app.models.cache_shape import AttentionLayers, CacheShape, cache_shape
from app.models.gguf import Value
from app.models.metadata import MAX_LAYERS, Metadata
from tests.models.shapes import REAL, metadata

HEADS: dict[str, Value] = {
    "block_count": 6,
    "embedding_length": 256,
    "attention.head_count": 4,
    "attention.head_count_kv": 2,
}
KIB = 1024
MIB = 1024 * KIB


def shape(architecture: str, **keys: Any) -> CacheShape:
    named = HEADS | {key.replace("__", "."): value for key, value in keys.items()}
    return cache_shape(
        Metadata({f"{architecture}.{key}": value for key, value in named.items()}, architecture)
    )


def real(name: str) -> CacheShape:
    found = REAL[name]
    values = metadata(found.architecture, found.keys)
    read = {key: tuple(item) if isinstance(item, list) else item for key, item in values.items()}
    return cache_shape(Metadata(read, found.architecture))


def test_a_dense_model_keeps_keys_and_values_of_every_layer() -> None:
    assert shape("llama") == CacheShape(AttentionLayers(6, 6 * 128, 6 * 128, 6 * 128))


def test_heads_that_differ_between_layers_are_added_up() -> None:
    found = shape("deci", attention__head_count_kv=(4, 0, 0, 0, 2, 4)).attending
    assert (found.n_keys, found.n_values) == (10 * 64, 10 * 64)
    assert found.n_padded_values == 6 * 4 * 64


def test_layers_that_slide_are_counted_by_themselves_and_may_have_other_heads() -> None:
    found = shape(
        "gemma3",
        attention__sliding_window=512,
        attention__sliding_window_pattern=3,
        attention__key_length_swa=32,
        attention__value_length_swa=16,
    )
    assert found.window == 512
    assert found.attending == AttentionLayers(2, 2 * 128, 2 * 128, 2 * 128)
    assert found.sliding == AttentionLayers(4, 4 * 64, 4 * 32, 4 * 128)


def test_latent_attention_keeps_one_vector_of_a_token() -> None:
    found = shape(
        "deepseek2",
        attention__head_count_kv=1,
        attention__key_length=576,
        attention__value_length=512,
        attention__key_length_mla=192,
        attention__value_length_mla=128,
    )
    assert found.attending == AttentionLayers(6, 6 * 576, 0, 0)


def test_layers_that_recur_keep_no_keys() -> None:
    some = (0, 2, 0, 0, 2, 0)
    found = shape("lfm2", attention__head_count_kv=some, shortconv__l_cache=3)
    assert found.attending.n_layers == 2
    assert found.state_elements == 4 * 2 * 256


def test_a_model_that_states_nothing_keeps_nothing() -> None:
    assert cache_shape(Metadata({}, "llama")) == CacheShape()
    assert cache_shape(Metadata({"mamba.block_count": 4}, "mamba")) == CacheShape()


def test_a_model_that_loops_keeps_keys_of_every_turn() -> None:
    assert shape("nanbeige", num_loops=2).attending.n_layers == 12
    assert shape("nanbeige", num_loops=2**63).attending.n_layers <= MAX_LAYERS


def test_a_layer_that_picks_adapters_has_one_head() -> None:
    assert shape("graniteswitch").attending.n_keys == 6 * 128 + 64


def test_a_hostile_number_of_layers_is_counted_without_listing_them() -> None:
    assert shape("llama", block_count=2**60).attending.n_keys == 2**60 * 128


# Bytes of a token at 16 bits, and of a state.
def token_kib(found: CacheShape) -> float:
    layers = (found.attending, found.sliding)
    return sum(2 * (each.n_keys + each.n_values) for each in layers) / KIB


def state_mib(found: CacheShape) -> float:
    return 4 * found.state_elements / MIB


def test_published_models_keep_what_their_configurations_say() -> None:
    assert token_kib(real("Qwen3-0.6B")) == 112
    assert (token_kib(real("Gemma-3-1B")), real("Gemma-3-1B").window) == (26, 512)
    assert (token_kib(real("LFM2.5-350M")), token_kib(real("Granite-4.0-H-350M"))) == (12, 4)
    assert token_kib(real("Qwen3.5-0.8B")) == 12


def test_published_models_have_states_of_up_to_some_50_mib() -> None:
    assert 0.07 < state_mib(real("LFM2.5-350M")) < 0.08
    assert 19 < state_mib(real("Qwen3.5-0.8B")) < 19.5
    assert 50 < state_mib(real("Qwen3.5-4B")) < 50.5
    assert 21 < state_mib(real("Granite-4.0-H-350M")) < 22
    assert 55 < state_mib(real("Granite-4.0-H-1B")) < 56
