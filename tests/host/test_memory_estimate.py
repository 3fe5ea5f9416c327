"""How much memory a model is held to take, and what context replaces one that is too large."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.host import memory_estimate
from app.models.cache_shape import AttentionLayers, CacheShape
from app.models.compute_shape import ComputeShape
from app.models.facts import ModelFacts
from app.protocol import LoadParams, QueueParams

GIB = 1024**3
MIB = 1024**2

# Qwen2.5-0.5B-Instruct, whose KV cache llama.cpp reports as 12 KiB a token at f16.
QWEN_LAYERS = AttentionLayers(n_layers=24, n_keys=3072, n_values=3072, n_padded_values=3072)
QWEN = ModelFacts(
    architecture="qwen2",
    name="Qwen2.5 0.5B",
    n_ctx_train=32_768,
    n_layer=24,
    n_embd=896,
    n_head=14,
    n_head_kv=2,
    key_length=64,
    value_length=64,
    n_vocab=151_936,
    file_type="Q4_0",
    has_chat_template=True,
    cache=CacheShape(attending=QWEN_LAYERS),
    compute=ComputeShape(widest=18_176, scoring=7168, recurring=2688),
)
FILE_SIZE = 352 * MIB


def params(n_ctx: int = 4096, **changes: object) -> LoadParams:
    return msgspec.structs.replace(LoadParams(n_ctx=n_ctx), **changes)


# ---------------------------------------------------------------- estimates


def kv_mib(facts: ModelFacts, parameters: LoadParams, n_seq_max: int = 5) -> float:
    return memory_estimate.kv_bytes(facts, parameters, n_seq_max) / MIB


def test_the_kv_cache_is_as_large_as_llama_cpp_makes_it() -> None:
    assert kv_mib(QWEN, params()) == 48
    assert kv_mib(QWEN, params(type_k="f32")) == 72
    assert kv_mib(QWEN, params(type_k="q8_0", type_v="q8_0")) == 25.5


def test_a_context_is_padded_to_whole_steps() -> None:
    assert kv_mib(QWEN, params(1)) == kv_mib(QWEN, params(256))
    assert kv_mib(QWEN, params(257)) == kv_mib(QWEN, params(512))


def test_only_layers_that_attend_grow_with_the_context() -> None:
    hybrid = replace(QWEN, cache=CacheShape(state_elements=MIB))
    assert kv_mib(hybrid, params(4096)) == kv_mib(hybrid, params(32_768))


def test_each_sequence_has_a_recurrent_state_of_its_own_in_32_bits() -> None:
    hybrid = replace(QWEN, cache=replace(QWEN.cache, state_elements=MIB))
    assert kv_mib(hybrid, params(), 2) == 48 + 2 * 4
    assert kv_mib(hybrid, params(), 17) == 48 + 17 * 4
    assert kv_mib(hybrid, params(type_k="q8_0", type_v="q8_0"), 2) == 25.5 + 2 * 4


def test_without_flash_attention_values_are_padded_to_the_widest_layer() -> None:
    uneven = replace(QWEN, cache=CacheShape(replace(QWEN_LAYERS, n_padded_values=2 * 3072)))
    assert kv_mib(uneven, params()) == 48
    assert kv_mib(uneven, params(flash_attn=False)) == 72


SLIDING = replace(QWEN, cache=CacheShape(sliding=QWEN_LAYERS, window=512))


def test_a_sliding_window_is_kept_for_each_sequence_with_one_micro_batch() -> None:
    per_token = 12 / 1024
    assert kv_mib(SLIDING, params(32_768), 2) == (2 * 512 + 512) * per_token
    assert kv_mib(SLIDING, params(32_768, n_ubatch=1024, n_batch=1024), 2) == 2048 * per_token
    assert kv_mib(SLIDING, params(32_768, n_ubatch=128, n_batch=64), 2) == 1280 * per_token


def test_a_window_longer_than_the_context_is_the_context() -> None:
    assert kv_mib(SLIDING, params(1024), 17) == kv_mib(QWEN, params(1024))


def test_the_sequences_are_those_of_the_default_queue_unless_said() -> None:
    hybrid = replace(QWEN, cache=CacheShape(state_elements=MIB))
    assert memory_estimate.kv_bytes(hybrid, params()) == (QueueParams().parallel + 1) * 4 * MIB


def test_an_estimate_adds_its_parts_and_a_tenth() -> None:
    found = memory_estimate.estimate(QWEN, FILE_SIZE, params())
    parts = found.weights_bytes + found.kv_bytes + found.compute_bytes
    assert found.weights_bytes == FILE_SIZE
    assert found.total_bytes == pytest.approx(parts * 1.1, abs=1)


# What llama.cpp allocates for this shape in MiB with 2 sequences, logits of 9 tokens included.
MEASURED = [
    (params(4096), 44.7),
    (params(32_768), 72.7),
    (params(4096, n_ubatch=128), 15.1),
    (params(8192, type_k="q8_0", type_v="q8_0"), 47.0),
    (params(4096, flash_attn=False), 134.5),
    (params(32_768, flash_attn=False), 974.5),
]


@pytest.mark.parametrize(("parameters", "measured_mib"), MEASURED)
def test_the_compute_buffer_is_a_little_more_than_llama_cpp_takes(
    parameters: LoadParams, measured_mib: float
) -> None:
    found_mib = memory_estimate.estimate(QWEN, FILE_SIZE, parameters, 2).compute_bytes / MIB
    assert measured_mib <= found_mib <= measured_mib + 6


def test_recurrent_states_in_use_count_as_computing() -> None:
    compute = replace(QWEN.compute, recurring=QWEN.compute.widest, states=MIB)
    hybrid = replace(QWEN, compute=compute)
    few = memory_estimate.estimate(hybrid, FILE_SIZE, params(), 2).compute_bytes
    many = memory_estimate.estimate(hybrid, FILE_SIZE, params(), 16).compute_bytes
    assert many - few >= 14 * 4 * MIB


def test_the_smaller_of_batch_and_micro_batch_sizes_the_compute_buffer() -> None:
    small = memory_estimate.estimate(QWEN, FILE_SIZE, params(n_ubatch=128))
    assert memory_estimate.estimate(QWEN, FILE_SIZE, params(n_batch=128)) == small


def test_without_flash_attention_long_contexts_cost_more() -> None:
    with_it = memory_estimate.estimate(QWEN, FILE_SIZE, params(32_768)).compute_bytes
    without = memory_estimate.estimate(
        QWEN, FILE_SIZE, params(32_768, flash_attn=False)
    ).compute_bytes
    assert without > 2 * with_it


def test_an_unknown_vocabulary_is_taken_for_a_large_one() -> None:
    unknown = memory_estimate.estimate(replace(QWEN, n_vocab=None), FILE_SIZE, params())
    known = memory_estimate.estimate(QWEN, FILE_SIZE, params())
    assert unknown.compute_bytes == pytest.approx(known.compute_bytes, rel=0.01)


# ---------------------------------------------------------------- the largest context


def test_the_largest_context_fits_and_one_step_more_does_not() -> None:
    available = 600 * MIB
    n_ctx = memory_estimate.largest_n_ctx(QWEN, FILE_SIZE, params(32_768), available)
    assert n_ctx % 256 == 0
    assert memory_estimate.estimate(QWEN, FILE_SIZE, params(n_ctx)).total_bytes <= available
    assert memory_estimate.estimate(QWEN, FILE_SIZE, params(n_ctx + 256)).total_bytes > available


def test_with_room_to_spare_the_largest_context_is_the_one_asked_for() -> None:
    assert memory_estimate.largest_n_ctx(QWEN, FILE_SIZE, params(8192), 64 * GIB) == 8192


def test_where_nothing_fits_the_largest_context_is_none() -> None:
    assert memory_estimate.largest_n_ctx(QWEN, FILE_SIZE, params(), 10 * MIB) == 0


@given(st.integers(0, 4 * GIB), st.integers(0, GIB))
def test_more_memory_never_means_a_smaller_context(available: int, more: int) -> None:
    smaller = memory_estimate.largest_n_ctx(QWEN, FILE_SIZE, params(32_768), available)
    assert (
        memory_estimate.largest_n_ctx(QWEN, FILE_SIZE, params(32_768), available + more) >= smaller
    )


def test_a_context_that_fits_is_left_alone() -> None:
    assert memory_estimate.clamp_n_ctx(4096, QWEN, FILE_SIZE, params(), 8 * GIB) == (4096, None)
    assert memory_estimate.clamp_n_ctx(1000, QWEN, FILE_SIZE, params(), 8 * GIB) == (1000, None)


def test_a_context_beyond_training_is_lowered_to_it() -> None:
    n_ctx, reason = memory_estimate.clamp_n_ctx(131_072, QWEN, FILE_SIZE, params(), 64 * GIB)
    assert n_ctx == 32_768
    assert reason == "the model was trained for a context of 32768 tokens"


def test_a_lowered_context_is_a_multiple_of_256() -> None:
    odd = replace(QWEN, n_ctx_train=1000)
    assert memory_estimate.clamp_n_ctx(4096, odd, FILE_SIZE, params(), 8 * GIB)[0] == 768


def test_a_model_that_does_not_state_its_training_context_is_not_held_to_one() -> None:
    silent = replace(QWEN, n_ctx_train=0)
    assert memory_estimate.clamp_n_ctx(131_072, silent, FILE_SIZE, params(), 64 * GIB) == (
        131_072,
        None,
    )


def test_rope_scaling_stretches_the_training_context() -> None:
    stretched = params(rope_freq_scale=0.5)
    assert memory_estimate.clamp_n_ctx(65_536, QWEN, FILE_SIZE, stretched, 64 * GIB) == (
        65_536,
        None,
    )
    assert memory_estimate.clamp_n_ctx(65_792, QWEN, FILE_SIZE, stretched, 64 * GIB)[0] == 65_536
    assert (
        memory_estimate.clamp_n_ctx(4096, QWEN, FILE_SIZE, params(rope_freq_scale=5e-324), 8 * GIB)[
            0
        ]
        == 4096
    )


def test_a_context_beyond_memory_is_lowered_and_the_sizes_are_named() -> None:
    n_ctx, reason = memory_estimate.clamp_n_ctx(32_768, QWEN, FILE_SIZE, params(), 600 * MIB)
    assert 256 <= n_ctx < 32_768
    assert reason is not None
    assert "a context of 32768 tokens needs" in reason
    assert "0.6 GiB are available" in reason


def test_where_nothing_fits_the_smallest_context_is_tried() -> None:
    n_ctx, reason = memory_estimate.clamp_n_ctx(4096, QWEN, FILE_SIZE, params(), 0)
    assert n_ctx == 256
    assert reason is not None


@given(st.integers(256, 2**24), st.integers(0, 16 * GIB), st.integers(0, 2**20))
def test_clamping_never_raises_a_context(requested: int, available: int, trained: int) -> None:
    facts = replace(QWEN, n_ctx_train=trained)
    n_ctx, reason = memory_estimate.clamp_n_ctx(requested, facts, FILE_SIZE, params(), available)
    assert 256 <= n_ctx <= requested
    assert (reason is None) == (n_ctx == requested)


# ---------------------------------------------------------------- what the system has


def system(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


MEMINFO = "MemTotal:        8000000 kB\nMemFree:          100 kB\nMemAvailable:    1048576 kB\n"
CGROUP_V2 = {
    "proc/meminfo": MEMINFO,
    "proc/self/cgroup": "0::/system.slice/distiller-llm.service\n",
}
SERVICE = "sys/fs/cgroup/system.slice/distiller-llm.service"


def test_without_a_cgroup_limit_the_systems_memory_counts(tmp_path: Path) -> None:
    root = system(tmp_path, CGROUP_V2 | {f"{SERVICE}/memory.max": "max\n"})
    assert memory_estimate.available_bytes(root) == GIB


def test_a_cgroup_limit_counts_less_what_is_used_and_not_cache(tmp_path: Path) -> None:
    limited = {
        f"{SERVICE}/memory.max": f"{500 * MIB}\n",
        f"{SERVICE}/memory.current": f"{300 * MIB}\n",
        f"{SERVICE}/memory.stat": f"anon 1\ninactive_file {150 * MIB}\nactive_file {50 * MIB}\n",
    }
    assert memory_estimate.available_bytes(system(tmp_path, CGROUP_V2 | limited)) == 400 * MIB


def test_the_soft_limit_of_a_cgroup_counts_too(tmp_path: Path) -> None:
    limited = {
        f"{SERVICE}/memory.max": f"{500 * MIB}\n",
        f"{SERVICE}/memory.high": f"{200 * MIB}\n",
        f"{SERVICE}/memory.current": f"{50 * MIB}\n",
    }
    assert memory_estimate.available_bytes(system(tmp_path, CGROUP_V2 | limited)) == 150 * MIB


def test_the_limit_of_a_parent_cgroup_counts_too(tmp_path: Path) -> None:
    limited = {
        "sys/fs/cgroup/system.slice/memory.max": f"{100 * MIB}\n",
        "sys/fs/cgroup/system.slice/memory.current": "0\n",
    }
    assert memory_estimate.available_bytes(system(tmp_path, CGROUP_V2 | limited)) == 100 * MIB


def test_a_version_1_cgroup_limit_counts(tmp_path: Path) -> None:
    folder = "sys/fs/cgroup/memory/box"
    root = system(
        tmp_path,
        {
            "proc/meminfo": MEMINFO,
            "proc/self/cgroup": "5:cpu,cpuacct:/box\n4:memory:/box\n0::/\n",
            f"{folder}/memory.limit_in_bytes": f"{300 * MIB}\n",
            f"{folder}/memory.usage_in_bytes": f"{120 * MIB}\n",
            f"{folder}/memory.stat": f"total_inactive_file {20 * MIB}\n",
        },
    )
    assert memory_estimate.available_bytes(root) == 200 * MIB


def test_a_cgroup_over_its_limit_has_nothing_left(tmp_path: Path) -> None:
    limited = {f"{SERVICE}/memory.max": "1000\n", f"{SERVICE}/memory.current": "2000\n"}
    assert memory_estimate.available_bytes(system(tmp_path, CGROUP_V2 | limited)) == 0


def test_a_cgroup_path_cannot_lead_out_of_the_mount(tmp_path: Path) -> None:
    root = system(tmp_path, {"proc/meminfo": MEMINFO, "proc/self/cgroup": "0::/../../x\n"})
    assert memory_estimate.available_bytes(root) == GIB


def test_a_system_that_tells_nothing_sets_no_limit(tmp_path: Path) -> None:
    assert memory_estimate.available_bytes(tmp_path) == sys.maxsize


def test_this_machine_has_memory() -> None:
    assert memory_estimate.available_bytes() > 0
