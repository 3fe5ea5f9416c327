"""Owns five architectures that keep their context differently: header keys, tensors, sizes.

Weights are random and scaled so that an answer depends on all that was said before. An answer is
made of digits and the end token only: a digit is never merged with another one, so that the text
tokenises back to what was generated, and every answer ends by itself after some ten tokens.
Names and shapes are those of llama.cpp's loader.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scripts.benchmark.gguf_writer import F32, Q8_0, TensorInfo, Value

# A channel of the residual stream that no layer reads or writes: it tells the output layer to
# leave out all tokens that are no part of answers.
_MARK = 0
_MARK_VALUE = 4.0
_LEFT_OUT = -200.0
_EMBEDDING_STD = 0.5  # less than what layers add, which know the tokens before
_LOGIT_STD = 3.0
_END_GAIN = 1.2  # the end token stands out, else some answers go in circles
_SHARPNESS = 4.0  # of attention: it picks some tokens out of hundreds
_MIXING_GAIN = 4.0  # of what attention finds
_CONV_WIDTH = 4
_SSM_HEAD = 64  # width of a head of Mamba2
_PATTERNS = {"lfm2": "rrarrara", "granitehybrid": "rrrarrra"}


@dataclass(frozen=True)
class Sizes:
    """The sizes of a model; each architecture uses those that it has.

    Attributes:
        n_embd: width of the residual stream; a multiple of 128.
        n_embd_head: width of a head's keys and values.
        n_state: width of a recurrent state of qwen35 and granitehybrid.
        n_window: tokens that a sliding layer sees.
        layers: for lfm2 and granitehybrid, "r" for a recurrent layer and "a" for attention,
            repeated up to `n_layer`; empty takes a mix like that of published models.
        matrix_type: `ggml_type` of all matrices. With `F32`, a prompt that is computed in other
            pieces gives the same logits to the fourth digit; with `Q8_0`, to the first.
    """

    n_layer: int = 8
    n_embd: int = 256
    n_ff: int = 512
    n_head: int = 4
    n_head_kv: int = 2
    n_embd_head: int = 64
    n_state: int = 128
    n_window: int = 512
    n_vocab: int = 4096
    n_ctx_train: int = 32768
    layers: str = ""
    matrix_type: int = Q8_0


@dataclass(frozen=True)
class Tensor:
    """A tensor and how its numbers are drawn."""

    info: TensorInfo
    draw: Callable[[np.random.Generator], NDArray[np.floating]]


def is_recurrent(name: str, sizes: Sizes) -> list[bool]:
    """Say of each layer whether it keeps a state instead of keys and values."""
    if name == "qwen35":
        return [(layer + 1) % 4 != 0 for layer in range(sizes.n_layer)]
    pattern = (sizes.layers if name in _PATTERNS else "") or _PATTERNS.get(name, "a")
    return [pattern[layer % len(pattern)] == "r" for layer in range(sizes.n_layer)]


def header(name: str, sizes: Sizes) -> dict[str, Value]:
    """Return the header's keys that tell an architecture's sizes."""
    recurrent = is_recurrent(name, sizes)
    n_kv: Value = sizes.n_head_kv
    if name in _PATTERNS:
        n_kv = [0 if each else sizes.n_head_kv for each in recurrent]
    keys: dict[str, Value] = {
        "context_length": sizes.n_ctx_train,
        "embedding_length": sizes.n_embd,
        "block_count": sizes.n_layer,
        "feed_forward_length": sizes.n_ff,
        "attention.head_count": sizes.n_head,
        "attention.head_count_kv": n_kv,
        "attention.key_length": sizes.n_embd_head,
        "attention.value_length": sizes.n_embd_head,
        "attention.layer_norm_rms_epsilon": 1e-6,
        "rope.freq_base": 1_000_000.0,
    }
    return {f"{name}.{key}": value for key, value in (keys | _EXTRA_KEYS[name](sizes)).items()}


def _lfm2_keys(sizes: Sizes) -> dict[str, Value]:
    return {"shortconv.l_cache": _CONV_WIDTH - 1}


def _gemma3_keys(sizes: Sizes) -> dict[str, Value]:
    return {"attention.sliding_window": sizes.n_window, "rope.freq_base_swa": 10_000.0}


def _qwen35_keys(sizes: Sizes) -> dict[str, Value]:
    n_heads = _n_delta_heads(sizes)
    n_rot = sizes.n_embd_head // 4
    third = n_rot // 6
    return {
        "ssm.conv_kernel": _CONV_WIDTH,
        "ssm.inner_size": n_heads * sizes.n_state,
        "ssm.state_size": sizes.n_state,
        "ssm.time_step_rank": n_heads,
        "ssm.group_count": n_heads,
        "rope.dimension_count": n_rot,
        "rope.dimension_sections": [n_rot // 2 - 2 * third, third, third, 0],
        "full_attention_interval": 4,
    }


def _granitehybrid_keys(sizes: Sizes) -> dict[str, Value]:
    return {
        "ssm.conv_kernel": _CONV_WIDTH,
        "ssm.inner_size": 2 * sizes.n_embd,
        "ssm.state_size": sizes.n_state,
        "ssm.time_step_rank": 2 * sizes.n_embd // _SSM_HEAD,
        "ssm.group_count": 1,
        "rope.scaling.finetuned": True,
    }


_EXTRA_KEYS: dict[str, Callable[[Sizes], dict[str, Value]]] = {
    "qwen3": lambda _sizes: {},
    "lfm2": _lfm2_keys,
    "gemma3": _gemma3_keys,
    "qwen35": _qwen35_keys,
    "granitehybrid": _granitehybrid_keys,
}
ARCHITECTURES = tuple(_EXTRA_KEYS)


def tensors(name: str, sizes: Sizes, answer_tokens: list[int]) -> Iterator[Tensor]:
    """Yield every tensor in the order of the file.

    Args:
        name: one of `ARCHITECTURES`.
        sizes: its sizes.
        answer_tokens: ids of the tokens that answers are made of, the end token last.
    """
    width, recurrent = sizes.n_embd, is_recurrent(name, sizes)
    # Gemma multiplies what it looks up by the root of the width.
    scale = width**-0.5 if name == "gemma3" else 1.0
    yield _embedding(sizes, scale)
    yield _output(sizes, answer_tokens)
    last_norm = "token_embd_norm" if name == "lfm2" else "output_norm"
    yield _vector(f"{last_norm}.weight", np.ones(width))
    for layer in range(sizes.n_layer):
        block = f"blk.{layer}."
        yield from _norms(name, block, width)
        if recurrent[layer]:
            yield from _RECURRENT_LAYERS[name](block, sizes)
        else:
            yield from _attention(name, block, sizes)
        yield _matrix(block + "ffn_gate.weight", sizes.n_ff, width)
        yield _matrix(block + "ffn_up.weight", sizes.n_ff, width)
        yield _matrix(block + "ffn_down.weight", width, sizes.n_ff, writes=True)


def _norms(name: str, block: str, width: int) -> Iterator[Tensor]:
    names = {
        "qwen35": ["attn_norm", "post_attention_norm"],
        "gemma3": ["attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"],
    }
    ones = np.ones(width)
    ones[_MARK] = 0.0
    for each in names.get(name, ["attn_norm", "ffn_norm"]):
        yield _vector(f"{block}{each}.weight", ones)


def _attention(name: str, block: str, sizes: Sizes) -> Iterator[Tensor]:
    width, head = sizes.n_embd, sizes.n_embd_head
    n_q, n_kv = sizes.n_head * head, sizes.n_head_kv * head
    has_norms = name != "granitehybrid"
    gain = 1.0 if has_norms else _SHARPNESS**0.5
    yield _matrix(block + "attn_q.weight", n_q * (2 if name == "qwen35" else 1), width, gain)
    yield _matrix(block + "attn_k.weight", n_kv, width, gain)
    yield _matrix(block + "attn_v.weight", n_kv, width, 2.0)
    yield _matrix(block + "attn_output.weight", width, n_q, _MIXING_GAIN, writes=True)
    if has_norms:
        yield _vector(block + "attn_q_norm.weight", np.full(head, _SHARPNESS))
        yield _vector(block + "attn_k_norm.weight", np.ones(head))


def _short_convolution(block: str, sizes: Sizes) -> Iterator[Tensor]:
    width = sizes.n_embd
    yield _noise(block + "shortconv.conv.weight", (width, _CONV_WIDTH - 1), 1.0)
    yield _matrix(block + "shortconv.in_proj.weight", 3 * width, width)
    yield _matrix(block + "shortconv.out_proj.weight", width, width, 2.0, writes=True)


def _delta_net(block: str, sizes: Sizes) -> Iterator[Tensor]:
    width, n_heads = sizes.n_embd, _n_delta_heads(sizes)
    inner = n_heads * sizes.n_state  # of keys and of values
    yield _matrix(block + "attn_qkv.weight", 3 * inner, width)
    yield _matrix(block + "attn_gate.weight", inner, width)
    yield _noise(block + "ssm_conv1d.weight", (3 * inner, _CONV_WIDTH), 0.5)
    yield _vector(block + "ssm_dt.bias", np.zeros(n_heads))
    yield _vector(block + "ssm_a", -np.geomspace(0.0005, 0.05, n_heads))
    yield _matrix(block + "ssm_beta.weight", n_heads, width)
    yield _matrix(block + "ssm_alpha.weight", n_heads, width)
    yield _vector(block + "ssm_norm.weight", np.ones(sizes.n_state))
    yield _matrix(block + "ssm_out.weight", width, inner, _MIXING_GAIN, writes=True)


def _mamba2(block: str, sizes: Sizes) -> Iterator[Tensor]:
    width, inner, state = sizes.n_embd, 2 * sizes.n_embd, sizes.n_state
    n_heads = inner // _SSM_HEAD
    yield _matrix(block + "ssm_in.weight", 2 * inner + 2 * state + n_heads, width)
    yield _noise(block + "ssm_conv1d.weight", (inner + 2 * state, _CONV_WIDTH), 0.5)
    yield _vector(block + "ssm_conv1d.bias", np.zeros(inner + 2 * state))
    yield _vector(block + "ssm_dt.bias", np.full(n_heads, -1.0))
    yield _vector(block + "ssm_a", -np.geomspace(0.002, 0.2, n_heads).reshape(n_heads, 1))
    yield _vector(block + "ssm_d", np.ones((n_heads, 1)))
    yield _vector(block + "ssm_norm.weight", np.ones((1, inner)))
    yield _matrix(block + "ssm_out.weight", width, inner, _MIXING_GAIN, writes=True)


_RECURRENT_LAYERS: dict[str, Callable[[str, Sizes], Iterator[Tensor]]] = {
    "lfm2": _short_convolution,
    "qwen35": _delta_net,
    "granitehybrid": _mamba2,
}


def _n_delta_heads(sizes: Sizes) -> int:
    return max(1, sizes.n_embd // sizes.n_state)


def _embedding(sizes: Sizes, scale: float) -> Tensor:
    def draw(rng: np.random.Generator) -> NDArray[np.floating]:
        rows = rng.standard_normal((sizes.n_vocab, sizes.n_embd), np.float32)
        rows *= np.float32(_EMBEDDING_STD)
        rows[:, _MARK] = _MARK_VALUE
        return rows * np.float32(scale)

    return Tensor(TensorInfo("token_embd.weight", (sizes.n_vocab, sizes.n_embd), Q8_0), draw)


def _output(sizes: Sizes, answer_tokens: list[int]) -> Tensor:
    def draw(rng: np.random.Generator) -> NDArray[np.floating]:
        rows = np.zeros((sizes.n_vocab, sizes.n_embd), np.float32)
        rows[:, _MARK] = _LEFT_OUT
        chosen = rng.standard_normal((len(answer_tokens), sizes.n_embd), np.float32)
        chosen[:, _MARK] = 0.0
        chosen[-1] *= _END_GAIN
        rows[answer_tokens] = chosen * np.float32(_LOGIT_STD * sizes.n_embd**-0.5)
        return rows

    return Tensor(TensorInfo("output.weight", (sizes.n_vocab, sizes.n_embd), Q8_0), draw)


def _matrix(
    name: str, n_rows: int, n_columns: int, gain: float = 1.0, *, writes: bool = False
) -> Tensor:
    """Return a matrix that keeps the size of what it multiplies, times `gain`.

    Args:
        name: of the tensor.
        n_rows: width of what comes out.
        n_columns: width of what goes in.
        gain: how much larger it becomes.
        writes: the result is added to the residual stream.
    """

    def draw(rng: np.random.Generator) -> NDArray[np.floating]:
        rows = rng.standard_normal((n_rows, n_columns), np.float32)
        if writes:
            rows[_MARK] = 0.0
        return rows * np.float32(gain * n_columns**-0.5)

    return Tensor(TensorInfo(name, (n_rows, n_columns), Q8_0), draw)


def _noise(name: str, shape: tuple[int, ...], std: float) -> Tensor:
    def draw(rng: np.random.Generator) -> NDArray[np.floating]:
        return rng.standard_normal(shape, np.float32) * np.float32(std)

    return Tensor(TensorInfo(name, shape, F32), draw)


def _vector(name: str, values: NDArray[np.floating]) -> Tensor:
    return Tensor(TensorInfo(name, values.shape, F32), lambda _rng: values)
