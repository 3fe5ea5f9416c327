"""What a model is held to take is what llama.cpp allocates, and at most 15 % more.

The models are metadata alone, of which llama.cpp makes the engine's own contexts without
allocating them. Covers `app.host.memory_estimate`, `app.models.cache_shape` and
`app.models.compute_shape`.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from app.engine.decode.speculation import MAX_DRAFT_TOKENS
from app.host import memory_estimate
from app.models.facts import ModelFacts, model_facts
from app.models.gguf import read_header
from app.models.layer_kinds import (
    HYBRID_BY_HEADS,
    HYBRID_BY_HEADS_OR_FEED_FORWARD,
    HYBRID_BY_INTERVAL,
    HYBRID_IN_EACH_LAYER,
    RECURRENT,
    SLIDING,
)
from app.protocol import LoadParams
from tests.models.gguf_files import header
from tests.models.shapes import REAL, SMALL, metadata
from tests.models.virtual_models import MIB, virtual_model

# Models too large for the devices that this service is for, and two that llama.cpp cannot make of
# metadata alone.
NOT_WALKED = {
    "bailingmoe3", "dots3note", "glm5-next", "kimi-k3", "qwen4exp",
    "arwkv7", "rwkv6qwen2",
}  # fmt: skip
LATENT = {"deepseek2", "glm-dsa", "kimi-linear"}  # keys and values are one, and of one type

PLAIN: list[tuple[dict[str, Any], int]] = [
    ({"n_ctx": 4096}, 5),
    ({"n_ctx": 32_768}, 2),
    ({"n_ctx": 8192, "n_ubatch": 128}, 9),
    ({"n_ctx": 4096, "flash_attn": False}, 5),
    ({"n_ctx": 1000}, 2),
    ({"n_ctx": 8192, "n_batch": 2048, "n_ubatch": 2048}, 2),
]
QUANTISED: list[tuple[dict[str, Any], int]] = [
    ({"n_ctx": 16_384, "type_k": "q8_0", "type_v": "q8_0"}, 5),
    ({"n_ctx": 2048, "type_k": "f32", "type_v": "iq4_nl"}, 3),
]


def settings(architecture: str) -> Iterator[tuple[LoadParams, int]]:
    for changes, n_seq_max in PLAIN if architecture in LATENT else PLAIN + QUANTISED:
        yield msgspec.structs.replace(LoadParams(), **changes), n_seq_max


def facts_of(values: Mapping[str, Any]) -> ModelFacts:
    data = header(values)
    return model_facts(read_header(io.BytesIO(data), len(data)))


@pytest.mark.parametrize("name", SMALL)
def test_the_cache_of_every_architecture_is_as_large_as_llama_cpp_makes_it(
    name: str, tmp_path: Path
) -> None:
    architecture, keys = SMALL[name]
    values = metadata(architecture, keys)
    facts = facts_of(values)
    with virtual_model(values, tmp_path) as model:
        for params, n_seq_max in settings(architecture):
            found = memory_estimate.kv_bytes(facts, params, n_seq_max)
            measured = model.sizes(params, n_seq_max).cache
            assert found == pytest.approx(measured, abs=0.03 * MIB), (params, n_seq_max)


def test_every_architecture_with_a_rule_of_its_own_is_among_them() -> None:
    hybrid = HYBRID_BY_HEADS | HYBRID_BY_HEADS_OR_FEED_FORWARD | HYBRID_IN_EACH_LAYER
    ruled = {*SLIDING, *hybrid, *HYBRID_BY_INTERVAL, *RECURRENT}
    assert ruled - {architecture for architecture, _ in SMALL.values()} == NOT_WALKED


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_a_real_model_takes_no_more_than_estimated_and_hardly_less(
    name: str, tmp_path: Path
) -> None:
    shape = REAL[name]
    values = metadata(shape.architecture, shape.keys)
    facts, weights = facts_of(values), shape.weights_bytes
    with virtual_model(values, tmp_path) as model:
        for params, n_seq_max in settings(shape.architecture):
            found = memory_estimate.estimate(facts, weights, params, n_seq_max)
            measured = model.sizes(params, n_seq_max)
            allocated = weights + measured.cache + measured.compute
            assert measured.compute <= found.compute_bytes, (params, n_seq_max)
            assert allocated <= found.bare_bytes <= 1.15 * allocated, (params, n_seq_max)


def test_logits_of_all_drafted_tokens_are_counted() -> None:
    assert memory_estimate.N_MORE_OUTPUTS >= MAX_DRAFT_TOKENS
