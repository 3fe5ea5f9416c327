"""Owns making benchmark models: random weights in a real shape, quantised by llama.cpp itself.

Speed and memory do not depend on the values of the weights, so such a model measures like the
real one of its shape and needs no download.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import llama_cpp.llama_cpp as lib
import numpy as np
from numpy.typing import NDArray

from scripts.benchmark.architectures import Sizes, header, tensors
from scripts.benchmark.chat_templates import (
    TEMPLATES,
    THOUGHT_END,
    end_of_turn,
    special_tokens,
)
from scripts.benchmark.console import BenchFailed, say
from scripts.benchmark.gguf_writer import F16, F32, GgufWriter, TensorInfo, Value
from scripts.benchmark.shapes import SHAPES, Shape, TensorSpec
from scripts.benchmark.vocabulary import (
    CHAT_TEMPLATE,
    END_OF_TEXT,
    END_OF_TURN,
    Vocabulary,
    make_vocabulary,
)

# llama.cpp calls it for as long as the process lives.
_SILENCE = lib.llama_log_callback(lambda _level, _text, _user_data: None)
# Part of the file name: raise it when the same shape and type would give other bytes.
VERSION = 2
FILE_TYPES = {"f32": 0, "f16": 1, "q4_0": 2, "q8_0": 7, "q4_k_m": 15}  # `llama_ftype` in llama.h

_SEED = 20_000
_WEIGHT_STD = 0.02  # keeps the residual stream finite: activations stay far inside f16
_BLOCK_ELEMENTS = 1 << 20
_QUANTISE_BUFFER_BYTES = 256 << 20


def cache_folder() -> Path:
    """Return the folder in the user's cache where benchmark models are kept."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "distiller-llm" / "bench-models"


def ensure_model(shape_name: str, type_name: str, folder: Path | None = None) -> Path:
    """Return the path of a model, made first where it does not exist yet.

    Raises:
        BenchFailed: the disk has no room, or llama.cpp could not quantise.
    """
    folder = folder or cache_folder()
    path = folder / f"random-qwen2-{shape_name}-{type_name}-v{VERSION}.gguf"
    if path.is_file():
        return path
    shape = SHAPES[shape_name]
    folder.mkdir(parents=True, exist_ok=True)
    n_bytes = shape.n_params * (2 if type_name == "f16" else 4)
    if shutil.disk_usage(folder).free < n_bytes:
        raise BenchFailed(f"{folder} needs {n_bytes / 1e9:.1f} GB of free space for {path.name}")
    with tempfile.TemporaryDirectory(prefix=".making-", dir=folder) as work:
        finished = Path(work) / "source.gguf"
        say(f"writing {shape.n_params / 1e6:,.0f} million random weights for {path.name}")
        _write_source(finished, shape_name, shape)
        if type_name != "f16":
            say(f"quantising to {type_name}")
            finished = _quantise(finished, type_name)
        finished.replace(path)
    say(f"made {path} ({path.stat().st_size / 1e6:,.0f} MB)")
    return path


def shape(
    name: str,
    path: Path,
    *,
    template: str | None = None,
    seed: int = 0,
    closes_thoughts: bool | None = None,
    **sizes: Any,
) -> Path:
    """Write a model of one of `ARCHITECTURES` whose answers are digits, and return its path.

    A few megabytes and a fraction of a second at the sizes of `Sizes`, which `sizes` changes by
    name: `shape("gemma3", path, n_window=64, n_layer=12)`.

    Args:
        name: the architecture, one of `ARCHITECTURES`.
        path: the file to write; its folder exists.
        template: the chat template; None takes one in the manner of the family.
        seed: other weights for another number.
        closes_thoughts: whether answers may end a thought; None: where the prompt opens one.
        sizes: what differs from the defaults of `Sizes`.
    """
    wanted = replace(Sizes(), **sizes)
    text = TEMPLATES[name] if template is None else template
    if closes_thoughts is None:
        closes_thoughts = name == "qwen35"
    specials = [*special_tokens(text), *([THOUGHT_END] if closes_thoughts else [])]
    vocabulary = make_vocabulary(wanted.n_vocab, specials)
    end = vocabulary.id_of(end_of_turn(text))
    texts = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]
    texts += [THOUGHT_END] if closes_thoughts else []
    answer_tokens = [*map(vocabulary.id_of, texts), end]
    rng = np.random.default_rng(seed)
    drawn = list(tensors(name, wanted, answer_tokens))
    infos = [_of_type(tensor.info, wanted.matrix_type) for tensor in drawn]
    metadata: dict[str, Value] = {
        "general.architecture": name,
        "general.name": f"random weights, {name}",
        "general.file_type": FILE_TYPES["f32" if wanted.matrix_type == F32 else "q8_0"],
        "general.quantization_version": 2,
        **header(name, wanted),
        **_vocabulary_keys(vocabulary, end, text),
    }
    with path.open("wb") as file:
        writer = GgufWriter(file, metadata, infos)
        for tensor, info in zip(drawn, infos, strict=True):
            writer.add(info, [tensor.draw(rng)])
    return path


def _of_type(info: TensorInfo, matrix_type: int) -> TensorInfo:
    return info if info.ggml_type == F32 else replace(info, ggml_type=matrix_type)


def ensure_shape(
    name: str, template: str | None = None, folder: Path | None = None, **sizes: Any
) -> Path:
    """Return the path of a model that `shape` writes, made first where it does not exist yet."""
    wanted = repr((name, template or TEMPLATES[name], replace(Sizes(), **sizes), VERSION))
    digest = hashlib.sha256(wanted.encode()).hexdigest()[:10]
    path = (folder or cache_folder()) / f"random-{name}-{digest}.gguf"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}")
        shape(name, part, template=template, **sizes).replace(path)
    return path


def _write_source(path: Path, shape_name: str, shape: Shape) -> None:
    rng = np.random.default_rng(_SEED)
    tensors = [
        (spec, TensorInfo(spec.name, spec.shape, F16 if spec.is_matrix else F32))
        for spec in shape.tensors()
    ]
    with path.open("wb") as file:
        writer = GgufWriter(file, _metadata(shape_name, shape), [info for _, info in tensors])
        for spec, info in tensors:
            writer.add(info, _weights(spec, rng))


def _weights(spec: TensorSpec, rng: np.random.Generator) -> Iterator[NDArray[np.float32]]:
    if spec.is_norm:
        yield np.ones(spec.n_elements, np.float32)
        return
    for begin in range(0, spec.n_elements, _BLOCK_ELEMENTS):
        count = min(_BLOCK_ELEMENTS, spec.n_elements - begin)
        yield rng.standard_normal(count, np.float32) * np.float32(_WEIGHT_STD)


def _metadata(shape_name: str, shape: Shape) -> dict[str, Value]:
    """Return the header's keys; names are those of the GGUF specification."""
    vocabulary = make_vocabulary(shape.n_vocab)
    return {
        "general.architecture": "qwen2",
        "general.name": f"random weights, Qwen2 {shape_name} shape",
        "general.file_type": FILE_TYPES["f16"],
        "general.quantization_version": 2,
        "qwen2.context_length": shape.n_ctx_train,
        "qwen2.embedding_length": shape.n_embd,
        "qwen2.block_count": shape.n_layer,
        "qwen2.feed_forward_length": shape.n_ff,
        "qwen2.attention.head_count": shape.n_head,
        "qwen2.attention.head_count_kv": shape.n_head_kv,
        "qwen2.attention.layer_norm_rms_epsilon": 1e-6,
        "qwen2.rope.freq_base": 1_000_000.0,
        **_vocabulary_keys(vocabulary, vocabulary.id_of(END_OF_TURN), CHAT_TEMPLATE),
    }


def _vocabulary_keys(vocabulary: Vocabulary, end: int, template: str) -> dict[str, Value]:
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "qwen2",
        "tokenizer.ggml.tokens": vocabulary.tokens,
        "tokenizer.ggml.token_type": vocabulary.token_types,
        "tokenizer.ggml.merges": vocabulary.merges,
        "tokenizer.ggml.bos_token_id": vocabulary.id_of(END_OF_TEXT),
        "tokenizer.ggml.eos_token_id": end,
        "tokenizer.ggml.padding_token_id": vocabulary.id_of(END_OF_TEXT),
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.chat_template": template,
    }


def _quantise(source: Path, type_name: str) -> Path:
    target = source.with_name("quantised.gguf")
    lib.llama_log_set(_SILENCE, ctypes.c_void_p(0))
    params = lib.llama_model_quantize_default_params()
    params.ftype = FILE_TYPES[type_name]
    params.nthread = len(os.sched_getaffinity(0))
    params.max_buf_size = _QUANTISE_BUFFER_BYTES
    status = lib.llama_model_quantize(os.fsencode(source), os.fsencode(target), params)
    if status != 0:
        raise BenchFailed(f"llama.cpp could not quantise to {type_name} (status {status})")
    return target
