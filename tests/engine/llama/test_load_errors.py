"""Whatever is wrong with a model file, the error of its load names it: a walk over the kinds."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from app.engine.llama import Context, Model, route_logs
from app.errors import ModelLoadFailed
from app.protocol import LoadParams
from tests.engine.llama.nano import NANO, PARAMS
from tests.models.gguf_files import Q8_0
from tests.models.gguf_rewrite import Gguf, Tensor

GOOD = Gguf.read(NANO)
NEEDED = [
    "qwen3.context_length", "qwen3.embedding_length", "qwen3.block_count",
    "qwen3.attention.layer_norm_rms_epsilon", "tokenizer.ggml.model",
]  # fmt: skip
TYPED = [*NEEDED[:3], "general.name", "tokenizer.ggml.pre", "tokenizer.ggml.eos_token_id"]
TENSORS = ["token_embd.weight", "blk.0.attn_q.weight", "blk.5.ffn_down.weight"]
EXTRA = Tensor("x", (32,), Q8_0, bytes(34))
Q4_DEPRECATED = 4


def changed(**values: object) -> bytes:
    return GOOD.with_values({k.replace("__", "."): v for k, v in values.items()}).encoded()


def patched(after: bytes, at: int, form: str, number: int) -> bytes:
    data = bytearray(GOOD.encoded())
    struct.pack_into(form, data, data.index(after) + len(after) + at, number)
    return bytes(data)


@pytest.fixture(autouse=True)
def logs_are_heard() -> None:
    route_logs(lambda _level, _text: None)


def refusal(folder: Path, data: bytes) -> str:
    path = folder / "m.gguf"
    path.write_bytes(data)
    with pytest.raises(ModelLoadFailed) as refused:
        Model(path, PARAMS, lambda _: None)
    message = refused.value.message
    assert message.startswith("llama.cpp could not load 'm.gguf': ")
    assert "failed to load model" not in message
    assert str(folder) not in message
    return message


@pytest.mark.parametrize("key", NEEDED)
def test_a_missing_key_is_named(tmp_path: Path, key: str) -> None:
    data = GOOD.with_values({key: None}).encoded()
    assert f"key not found in model: {key}" in refusal(tmp_path, data)


@pytest.mark.parametrize("key", TYPED)
def test_a_key_of_the_wrong_type_is_named(tmp_path: Path, key: str) -> None:
    data = GOOD.with_values({key: 7.5}).encoded()
    assert f"key {key} has wrong type" in refusal(tmp_path, data)


@pytest.mark.parametrize("key", ["tokens", "token_type", "merges"])
def test_a_list_of_the_wrong_type_is_named(tmp_path: Path, key: str) -> None:
    wrong = [1.0, 2.0] if key != "token_type" else ["a", "b"]
    data = GOOD.with_values({f"tokenizer.ggml.{key}": wrong}).encoded()
    assert f"tokenizer.ggml.{key}" in refusal(tmp_path, data)


@pytest.mark.parametrize("name", TENSORS)
def test_a_missing_tensor_is_named(tmp_path: Path, name: str) -> None:
    assert f"tensor '{name}' not found" in refusal(tmp_path, GOOD.without_tensor(name).encoded())


@pytest.mark.parametrize("name", TENSORS)
def test_a_tensor_of_another_shape_is_named_with_both_shapes(tmp_path: Path, name: str) -> None:
    data = GOOD.with_tensor(name, shape=(32, 3)).encoded()
    message = refusal(tmp_path, data)
    assert f"tensor '{name}' has wrong shape; expected 256, " in message
    assert "got 32, 3" in message


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: changed(general__architecture="klingon"), "model architecture: 'klingon'"),
        (lambda: changed(general__architecture="gptj"), "model architecture: 'gptj'"),
        (lambda: changed(general__architecture="llama"), "llama.context_length"),
        (lambda: changed(tokenizer__ggml__pre="klingon"), "pre-tokenizer type: 'klingon'"),
        (lambda: changed(tokenizer__ggml__model="klingon"), "unknown tokenizer: 'klingon'"),
        (lambda: changed(qwen3__block_count=7), "tensor 'blk.6.attn_norm.weight' not found"),
        (lambda: changed(qwen3__attention__head_count=[7, 8]), "qwen3.attention.head_count"),
        (lambda: changed(tokenizer__ggml__merges=None), "merges"),
        (lambda: changed(tokenizer__ggml__tokens=None), "tokenizer vocab"),
        (lambda: changed(tokenizer__ggml__token_type=[1]), "toktypes (1 < 2048)"),
        (
            lambda: Gguf(GOOD.values, [*GOOD.tensors, EXTRA]).encoded(),
            "wrong number of tensors; expected 69, got 68",
        ),
        (lambda: patched(b"token_embd.weight", 20, "<I", 99), "'token_embd.weight' has invalid"),
        (lambda: patched(b"token_embd.weight", 20, "<I", Q4_DEPRECATED), "'token_embd.weight' of"),
        (lambda: patched(b"token_embd.weight", 24, "<Q", 7), "'token_embd.weight' has offset 7"),
        (lambda: patched(b"qwen3.context_length", 0, "<I", 99), "'qwen3.context_length'"),
        (lambda: patched(b"GGUF", 0, "<I", 1), "GGUFv1"),
        (lambda: patched(b"GGUF", 0, "<I", 9), "version 9"),
        (lambda: GOOD.encoded().replace(b"blk.0.ffn_gate", b"blk.0.ffn_down"), "'blk.0.ffn_down"),
        (lambda: GOOD.encoded()[:-1], "tensor 'output_norm.weight' data is not within the file"),
        (lambda: GOOD.encoded()[:60_000], "string length"),
        (lambda: b"<html>not found</html>......", "'<htm'"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_file_is_named(
    tmp_path: Path, make: Callable[[], bytes], named: str
) -> None:
    assert named in refusal(tmp_path, make())


def test_a_context_that_cannot_be_made_is_explained(model: Model) -> None:
    params = LoadParams(n_ctx=512, n_threads=1, type_v="q4_0", flash_attn=False)
    with pytest.raises(ModelLoadFailed, match=r"type_v q4_0\): quantized V cache") as refused:
        Context(model, params, n_seq_max=1, n_threads=1)
    assert "llama_init" not in refused.value.message


def test_the_error_of_an_earlier_load_does_not_explain_a_later_failure(
    tmp_path: Path, model: Model
) -> None:
    refusal(tmp_path, changed(qwen3__context_length=None))
    refused = refusal(tmp_path, changed(tokenizer__ggml__pre="klingon"))
    assert "context_length" not in refused
