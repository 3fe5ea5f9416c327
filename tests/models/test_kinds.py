"""What a GGUF file is, according to its header: a walk over the kinds that are published."""

from __future__ import annotations

import io
from typing import Any

import pytest

from app.models.architectures import KNOWN, NOT_SERVED
from app.models.gguf import read_header
from app.models.kinds import FileKind, file_kind
from tests.models.gguf_files import llama, tensor, typed, with_tensors

UINT16, INT32 = 2, 5
LORA = "a LoRA adapter"
PROJECTOR = "a projector (mmproj)"


def kind_of(data: bytes) -> FileKind:
    return file_kind(read_header(io.BytesIO(data), len(data)))


def of(architecture: str, *tensors: str, **values: Any) -> bytes:
    """Return a file of an architecture with these tensors and few other keys."""
    named = {key.replace("__", "."): value for key, value in values.items()}
    infos = [tensor(name, offset=128 * n) for n, name in enumerate(tensors)]
    return with_tensors(
        *infos, data=128 * len(tensors), values={"general.architecture": architecture, **named}
    )


@pytest.mark.parametrize("architecture", sorted(KNOWN - NOT_SERVED.keys() - {"clip"}))
def test_a_language_model_can_serve(architecture: str) -> None:
    assert kind_of(llama(general__architecture=architecture)) == FileKind()
    assert kind_of(llama(general__architecture=architecture, general__type="model")) == FileKind()


@pytest.mark.parametrize("architecture", sorted(NOT_SERVED))
def test_an_architecture_that_answers_no_chat_cannot(architecture: str) -> None:
    kind = kind_of(llama(general__architecture=architecture, general__type="model"))
    assert kind == FileKind(NOT_SERVED[architecture])


@pytest.mark.parametrize("architecture", ["flux", "sd1", "whisper", "Llama", "klingon"])
def test_of_an_unknown_architecture_only_llama_cpp_can_tell(architecture: str) -> None:
    kind = kind_of(llama(general__architecture=architecture))
    assert not kind.is_certain
    assert f"'{architecture}'" in (kind.refusal or "")


@pytest.mark.parametrize(
    ("data", "what"),
    [
        # adapters
        (of("llama", "blk.0.attn_q.weight.lora_a", general__type="adapter", adapter__type="lora"),
         LORA),
        (of("qwen3", "blk.0.attn_q.weight.lora_a", adapter__type="lora"), LORA),
        (of("qwen3", "blk.0.attn_q.weight.lora_b"), LORA),
        (of("llama", "x", general__type="adapter"), LORA),
        (of("llama", "x", general__type=" Adapter "), LORA),
        (llama(adapter__type="lora"), LORA),
        (llama(general__type="adapter", adapter__type="control"), "an adapter of the type 'contr"),
        (of("controlvector", "direction.1", controlvector__model_hint="llama"), "a control vec"),
        # projectors
        (of("clip", "v.patch_embd.weight", general__type="mmproj"), PROJECTOR),
        (of("clip", "v.patch_embd.weight", general__type="model"), PROJECTOR),
        (of("clip", "mm.0.weight", clip__has_vision_encoder=True), PROJECTOR),
        (of("gemma3", "mm.input_projection.weight"), PROJECTOR),
        (of("qwen3", "v.blk.0.ln1.weight"), PROJECTOR),
        (of("qwen3", "x", clip__projector_type="mlp"), PROJECTOR),
        # other files
        (of("llama", "x", general__type="imatrix"), "an importance matrix"),
        (with_tensors(tensor("x.in_sum2"), data=128, values={"imatrix.chunk_count": 3}),
         "an importance matrix"),
        (of("llama", "x", general__type="dataset"), "no model: its general.type is 'dataset'"),
        (llama(tensors=()), "a vocabulary without weights"),
        (llama(tensors=(tensor("output.weight"),)), "no tensor 'token_embd.weight'"),
        (with_tensors(tensor("x"), data=128), "no model: its header has no general.architecture"),
        (llama(tokenizer__ggml__model="no_vocab"), "a model without a tokenizer"),
        (llama(tokenizer__ggml__model=None), "a model without a tokenizer"),
        # language models that are trained for something else
        (llama(llama__pooling_type=1), "an embedding model"),
        (llama(llama__pooling_type=typed(INT32, 3)), "an embedding model"),
        (llama(llama__pooling_type=4), "a reranker"),
        (llama(llama__attention__causal=False), "an encoder"),
        # parts
        (llama(split__no=typed(UINT16, 2), split__count=typed(UINT16, 3)), "part 3 of a model"),
    ],
)  # fmt: skip
def test_what_is_no_model_says_what_it_is(data: bytes, what: str) -> None:
    kind = kind_of(data)
    assert what in (kind.refusal or "")
    assert kind.is_certain


@pytest.mark.parametrize(
    "data",
    [
        llama(general__type=""),
        llama(general__type=" Model\n"),
        llama(general__type=7),
        llama(llama__pooling_type=0),
        llama(llama__attention__causal=True),
        llama(clip__has_vision_encoder=True),  # a file that has both
        llama(split__no=0, split__count=1),
    ],
)
def test_what_resembles_another_kind_can_serve(data: bytes) -> None:
    assert kind_of(data) == FileKind()


def test_the_first_part_says_how_many_there_are() -> None:
    assert kind_of(llama(split__no=0, split__count=3, tensors=())) == FileKind(n_parts=3)
