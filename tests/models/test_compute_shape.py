"""How much a model computes with at once.

`tests/host/test_memory_of_shapes.py` holds it against llama.cpp's compute buffers.
"""

from __future__ import annotations

from typing import Any

from app.models.compute_shape import ComputeShape, compute_shape
from app.models.metadata import Metadata


def shape(architecture: str, **keys: Any) -> ComputeShape:
    named = {"embedding_length": 512, "attention.head_count": 8, "feed_forward_length": 1536}
    named |= {key.replace("__", "."): value for key, value in keys.items()}
    return compute_shape(
        Metadata({f"{architecture}.{key}": value for key, value in named.items()}, architecture)
    )


def test_the_feed_forward_network_of_a_dense_model_is_its_widest_part() -> None:
    assert shape("qwen3").widest == 4 * 512 + 3 * 1536


def test_many_heads_are_wider_than_a_narrow_network() -> None:
    assert shape("qwen3", attention__key_length=1024).widest == 3 * 512 + 2 * 8192


def test_experts_count_as_many_as_are_used() -> None:
    few = shape("gpt-oss", expert_used_count=4, expert_feed_forward_length=1024)
    many = shape("gpt-oss", expert_used_count=8, expert_feed_forward_length=1024)
    assert few.widest < many.widest


def test_only_recurrent_layers_have_states_in_use() -> None:
    assert shape("llama").states == 0
    ssm = {"ssm__inner_size": 1024, "ssm__state_size": 128, "ssm__conv_kernel": 4}
    assert shape("granitehybrid", **ssm).states == 3 * 1024 + 128 * 1024
    groups = {"ssm__group_count": 4, "ssm__time_step_rank": 8}
    assert shape("qwen35", **ssm, **groups).states == 2 * (3 * 2048 + 128 * 1024)


def test_a_model_that_states_nothing_computes_with_nothing() -> None:
    assert compute_shape(Metadata({}, "llama")) == ComputeShape()
