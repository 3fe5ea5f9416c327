"""Which layers attend, slide a window or keep a state follows from architecture and keys.

`tests/host/test_memory_of_shapes.py` holds the rules of all architectures against llama.cpp.
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from app.models.architectures import KNOWN, NOT_SERVED
from app.models.gguf import Value
from app.models.layer_kinds import (
    HYBRID_BY_HEADS,
    HYBRID_BY_HEADS_OR_FEED_FORWARD,
    HYBRID_BY_INTERVAL,
    HYBRID_IN_EACH_LAYER,
    RECURRENT,
    SLIDING,
    layer_kinds,
    window,
)
from app.models.metadata import MAX_LAYERS, Metadata


def metadata(architecture: str, n_layer: int = 6, **keys: Value) -> Metadata:
    values: dict[str, Value] = {f"{architecture}.block_count": n_layer}
    for key, value in keys.items():
        values[f"{architecture}.{key.replace('__', '.')}"] = value
    return Metadata(values, architecture)


def drawn(found: Metadata) -> str:
    """Return a letter for each layer: attends, slides, recurs, attends and recurs (b), none."""
    letters: Mapping[tuple[bool, bool, bool], str] = {
        (True, False, False): "a",
        (True, True, False): "s",
        (False, False, True): "r",
        (True, False, True): "b",
    }
    kinds = layer_kinds(found)
    return "".join(letters.get((kind.attends, kind.slides, kind.recurs), ".") for kind in kinds)


def test_layers_attend_unless_the_architecture_says_otherwise() -> None:
    assert drawn(metadata("llama")) == "aaaaaa"
    assert drawn(metadata("an-unknown-one")) == "aaaaaa"


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "phi3"])
def test_a_window_that_llama_cpp_ignores_is_none(architecture: str) -> None:
    found = metadata(architecture, attention__sliding_window=512)
    assert (window(found), drawn(found)) == (0, "aaaaaa")


@pytest.mark.parametrize(
    ("architecture", "layers"),
    [("gemma2", "sasasa"), ("gemma3", "sssssa"), ("gpt-oss", "sasasa"), ("cohere2moe", "asssas")],
)
def test_one_layer_of_a_period_attends_to_everything(architecture: str, layers: str) -> None:
    found = metadata(architecture, attention__sliding_window=512)
    assert (window(found), drawn(found)) == (512, layers)


def test_a_stated_period_wins_and_a_stated_pattern_too() -> None:
    period = metadata("gemma3", attention__sliding_window=512, attention__sliding_window_pattern=3)
    assert drawn(period) == "ssassa"
    stated = metadata(
        "gemma4",
        attention__sliding_window=512,
        attention__sliding_window_pattern=(True, False) * 3,
    )
    assert drawn(stated) == "sasasa"


def test_a_model_without_a_stated_window_has_none_or_that_of_its_architecture() -> None:
    assert (window(metadata("gemma3")), drawn(metadata("gemma3"))) == (0, "aaaaaa")
    assert window(metadata("gemma2")) == 4096


def test_some_architectures_have_one_window_whatever_is_stated() -> None:
    assert window(metadata("llama4", attention__sliding_window=512)) == 8192
    assert window(metadata("llama4", attention__sliding_window=0)) == 0


def test_only_the_large_exaone_4_has_a_window() -> None:
    assert window(metadata("exaone4", 30, attention__sliding_window=4096)) == 0
    assert window(metadata("exaone4", 64, attention__sliding_window=4096)) == 4096


def test_layers_that_share_the_keys_of_others_keep_none() -> None:
    found = metadata("gemma4", attention__shared_kv_layers=2)
    assert drawn(found) == "aaaa.."
    assert drawn(metadata("gemma3n", 25, attention__sliding_window=512)).count(".") == 5


def test_layers_without_key_value_heads_are_recurrent() -> None:
    some = (0, 2, 0, 0, 2, 0)
    assert drawn(metadata("granitehybrid", attention__head_count_kv=some)) == "rarrar"
    assert drawn(metadata("lfm2", attention__head_count_kv=some)) == "rarrar"
    sliding = metadata("lfm2", attention__head_count_kv=some, attention__sliding_window=512)
    assert drawn(sliding) == "rsrrsr"


def test_layers_of_nemotron_h_with_a_feed_forward_network_keep_nothing() -> None:
    found = metadata(
        "nemotron_h",
        attention__head_count=4,
        attention__head_count_kv=(0, 2, 0, 0, 2, 0),
        feed_forward_length=(0, 0, 512, 0, 0, 512),
    )
    assert drawn(found) == "ra.ra."


def test_one_layer_of_an_interval_attends() -> None:
    assert drawn(metadata("qwen35", 8)) == "rrrarrra"
    assert drawn(metadata("qwen3next", 8, full_attention_interval=2)) == "rararara"
    assert drawn(metadata("qwen35", 3, attention__recurrent_layers=(True, False, True))) == "rar"
    assert drawn(metadata("qwen35", 2, full_attention_interval=0)) == "aa"


def test_layers_may_attend_and_recur_at_once() -> None:
    assert drawn(metadata("falcon-h1")) == "bbbbbb"
    assert drawn(metadata("mamba2")) == "rrrrrr"


def test_layers_that_predict_further_tokens_are_given_no_memory() -> None:
    assert drawn(metadata("glm4moe", 4, nextn_predict_layers=1)) == "aaa"
    assert drawn(metadata("qwen35", 5, nextn_predict_layers=1)) == "rrra"


def test_hostile_counts_make_no_long_lists() -> None:
    assert len(layer_kinds(metadata("gemma3", 2**63))) == MAX_LAYERS
    assert len(layer_kinds(metadata("qwen35", 2**63, nextn_predict_layers=2**63))) == MAX_LAYERS


def test_the_rules_name_architectures_that_are_served() -> None:
    hybrid = HYBRID_BY_HEADS | HYBRID_BY_HEADS_OR_FEED_FORWARD | HYBRID_IN_EACH_LAYER
    ruled = {*SLIDING, *hybrid, *HYBRID_BY_INTERVAL, *RECURRENT}
    assert ruled <= KNOWN - NOT_SERVED.keys()
