"""What the writer writes is what the service's own reader reads."""

from __future__ import annotations

import io

import numpy as np
import pytest

from app.models.gguf import Skipped, ValueType, read_header
from scripts.benchmark.gguf_writer import (
    ALIGNMENT_BYTES,
    F16,
    F32,
    Q8_0,
    GgufWriter,
    TensorInfo,
    Value,
)

METADATA: dict[str, Value] = {
    "general.architecture": "qwen2",
    "qwen2.block_count": 2,
    "qwen2.rope.freq_base": 0.5,
    "tokenizer.ggml.add_bos_token": False,
    "tokenizer.ggml.tokens": ["a", "ü", "<|im_end|>"],
    "tokenizer.ggml.token_type": [1, 1, 3],
}
TENSORS = [TensorInfo("wide", (3, 5), F16), TensorInfo("norm", (5,), F32)]


def written() -> bytes:
    file = io.BytesIO()
    writer = GgufWriter(file, METADATA, TENSORS)
    matrix = np.arange(15, dtype=np.float32)
    writer.add(TENSORS[0], [matrix[:4], matrix[4:]])
    writer.add(TENSORS[1], [np.ones(5, np.float32)])
    return file.getvalue()


def test_the_reader_finds_every_key() -> None:
    raw = written()
    header = read_header(io.BytesIO(raw), len(raw))
    assert header.values == METADATA | {
        # the reader keeps numbers as a tuple and only counts the texts of a vocabulary
        "tokenizer.ggml.token_type": (1, 1, 3),
        "tokenizer.ggml.tokens": Skipped(ValueType.STRING, length=3, is_array=True),
    }


def test_tensors_stand_at_aligned_places_with_their_data() -> None:
    raw = written()
    assert len(raw) % ALIGNMENT_BYTES == 0
    norm = np.frombuffer(raw[-ALIGNMENT_BYTES:][:20], dtype="<f4")
    matrix = np.frombuffer(raw[-2 * ALIGNMENT_BYTES :][:30], dtype="<f2")
    assert norm.tolist() == [1.0] * 5
    assert matrix.tolist() == list(range(15))


def test_a_q8_0_row_is_a_scale_and_a_byte_a_number() -> None:
    info = TensorInfo("rows", (2, 32), Q8_0)
    file = io.BytesIO()
    writer = GgufWriter(file, METADATA, [info])
    values = np.concatenate([np.arange(32) - 16, np.zeros(32)]).astype(np.float32)
    writer.add(info, [values])
    raw = np.frombuffer(file.getvalue()[-96:][: info.n_bytes], np.uint8).reshape(2, 34)
    scales = raw[:, :2].copy().view("<f2").astype(np.float32)
    read = raw[:, 2:].view(np.int8) * scales
    assert np.abs(read.reshape(-1) - values).max() <= 16 / 127
    assert not read[1].any()


def test_data_of_another_size_is_refused() -> None:
    writer = GgufWriter(io.BytesIO(), METADATA, TENSORS)
    with pytest.raises(ValueError, match="28 bytes given, 30 expected"):
        writer.add(TENSORS[0], [np.zeros(14, np.float32)])
