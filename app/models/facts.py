"""Owns the facts about a model in its GGUF header; must know nothing of files or llama.cpp."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from app.models.cache_shape import CacheShape, cache_shape
from app.models.compute_shape import ComputeShape, compute_shape
from app.models.gguf import GgufError, GgufHeader, Skipped, Value
from app.models.metadata import Metadata, whole_number

# `llama_ftype` in llama.cpp's include/llama.h, where every file type but the first two is named
# LLAMA_FTYPE_MOSTLY_<name>; the gaps are types that llama.cpp has removed.
_FILE_TYPES = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K",
    11: "Q3_K_S", 12: "Q3_K_M", 13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S",
    17: "Q5_K_M", 18: "Q6_K", 19: "IQ2_XXS", 20: "IQ2_XS", 21: "Q2_K_S", 22: "IQ3_XS",
    23: "IQ3_XXS", 24: "IQ1_S", 25: "IQ4_NL", 26: "IQ3_S", 27: "IQ3_M", 28: "IQ2_S", 29: "IQ2_M",
    30: "IQ4_XS", 31: "IQ1_M", 32: "BF16", 36: "TQ1_0", 37: "TQ2_0", 38: "MXFP4_MOE", 39: "NVFP4",
    40: "Q1_0", 41: "Q2_0",
}  # fmt: skip
_GUESSED_FILE_TYPE = 1024


@dataclass(frozen=True)
class ModelFacts:
    """The shape of a model according to its header; 0 for absent values.

    Attributes:
        n_ctx_train: context length in training, in tokens.
        n_head_kv: key/value heads of a layer; the maximum if layers differ.
        key_length: elements of one head's key; likewise `value_length`.
        n_vocab: tokens in the vocabulary; None if unknown.
        file_type: name of the quantisation; None if unknown.
        has_chat_template: None if the header was not read to its end.
        cache: what it keeps of a sequence.
        compute: what it computes with at once.
        tokenizer: its kind, by the name in the header; None if it has none.
    """

    architecture: str
    name: str | None
    n_ctx_train: int
    n_layer: int
    n_embd: int
    n_head: int
    n_head_kv: int
    key_length: int
    value_length: int
    n_vocab: int | None
    file_type: str | None
    has_chat_template: bool | None
    cache: CacheShape
    compute: ComputeShape
    tokenizer: str | None = None


def model_facts(header: GgufHeader) -> ModelFacts:
    """Return the facts in a header.

    Key names: the GGUF specification, "Standardized key-value pairs".

    Raises:
        GgufError: the architecture is missing, or a count is not a whole number.
    """
    values = header.values
    architecture = values.get("general.architecture")
    if not isinstance(architecture, str) or not architecture:
        raise GgufError("the header has no general.architecture")
    name, tokenizer = values.get("general.name"), values.get("tokenizer.ggml.model")
    metadata = Metadata(values, architecture)
    n_layer, n_embd = metadata.count("block_count"), metadata.count("embedding_length")
    heads = metadata.per_layer("attention.head_count", n_layer)
    n_head = max(heads, default=0)
    kv_heads = metadata.per_layer("attention.head_count_kv", n_layer, heads)
    head_length = n_embd // n_head if n_head else 0
    return ModelFacts(
        architecture=architecture,
        name=name if isinstance(name, str) else None,
        n_ctx_train=metadata.count("context_length"),
        n_layer=n_layer,
        n_embd=n_embd,
        n_head=n_head,
        n_head_kv=max(kv_heads, default=0),
        key_length=metadata.count("attention.key_length", head_length),
        value_length=metadata.count("attention.value_length", head_length),
        n_vocab=_n_vocab(metadata, values),
        file_type=_file_type(values),
        has_chat_template=_has_chat_template(header),
        cache=cache_shape(metadata),
        compute=compute_shape(metadata),
        tokenizer=tokenizer if isinstance(tokenizer, str) else None,
    )


def _n_vocab(metadata: Metadata, values: Mapping[str, Value]) -> int | None:
    tokens = values.get("tokenizer.ggml.tokens")
    if isinstance(tokens, Skipped) and tokens.is_array:
        return tokens.length
    return metadata.stated("vocab_size")


def _file_type(values: Mapping[str, Value]) -> str | None:
    number = whole_number(values, "general.file_type")
    if number is None:
        return None
    number &= ~_GUESSED_FILE_TYPE
    return _FILE_TYPES.get(number, f"type {number}")


def _has_chat_template(header: GgufHeader) -> bool | None:
    template = header.values.get("tokenizer.chat_template")
    if template is None and not header.complete:
        return None
    return bool(template)
