"""Owns what a GGUF file is, judged by its header: a model that can serve, or why it is none.

Keys: the GGUF specification, and for adapters, projectors and importance matrices the converters
of llama.cpp. It must not know files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from app.models.architectures import CONTROL_VECTOR, KNOWN, NOT_SERVED, PROJECTOR
from app.models.gguf import GgufHeader, Value, shown

_EMBEDDINGS = "token_embd.weight"  # every language model that llama.cpp knows has it
_POOLED = (1, 2, 3)  # `llama_pooling_type`: mean, first and last token
_RANKED = 4
_NO_TOKENIZER = (None, "", "none", "no_vocab")

_LORA = "a LoRA adapter, which changes a model and is none itself"
_PROJECTOR = "a projector (mmproj), which adds images or sound to a model and is none itself"
_IMATRIX = "an importance matrix, which serves to quantise a model"
_VOCABULARY = "a vocabulary without weights"
_TYPES = {"mmproj": _PROJECTOR, "imatrix": _IMATRIX, "vocab": _VOCABULARY}


@dataclass(frozen=True, slots=True)
class FileKind:
    """What a file is.

    Attributes:
        refusal: why it cannot serve, to follow its name and "is"; None for a model that can.
        is_certain: False if only llama.cpp can tell: a load may be tried if somebody asks for it.
        n_parts: files of the model, according to its first one.
    """

    refusal: str | None = None
    is_certain: bool = True
    n_parts: int = 1


def file_kind(header: GgufHeader) -> FileKind:
    """Return what a file is; all of its header has to be read."""
    values = header.values
    n_parts, part = _whole(values, "split.count") or 1, _whole(values, "split.no") or 0
    if n_parts > 1 and part > 0:
        return FileKind(f"part {part + 1} of a model that is split into {n_parts}")
    refusal = (
        _by_type(values)
        or _by_keys(values, header.tensors)
        or _by_architecture(values)
        or (_by_tensors(header.tensors) if n_parts == 1 else None)
        or _by_tokenizer(values)
    )
    if refusal:
        return FileKind(refusal)
    architecture = values.get("general.architecture")
    if architecture in KNOWN:
        return FileKind(n_parts=n_parts)
    named = shown(str(architecture))
    return FileKind(
        f"of the architecture {named}, which this version of llama.cpp does not know",
        is_certain=False,
        n_parts=n_parts,
    )


def _by_type(values: Mapping[str, Value]) -> str | None:
    stated = values.get("general.type")
    plain = stated.strip().lower() if isinstance(stated, str) else ""
    if plain in ("", "model"):
        return None
    if plain == "adapter":
        return _adapter(values)
    return _TYPES.get(plain, f"no model: its general.type is {shown(plain)}")


def _by_keys(values: Mapping[str, Value], tensors: frozenset[str]) -> str | None:
    """Return what keys say in files that do not state their type."""
    if "adapter.type" in values:
        return _adapter(values)
    if _EMBEDDINGS in tensors:
        return None
    if any(key.startswith("clip.") for key in values):
        return _PROJECTOR
    if any(key.startswith("imatrix.") for key in values):
        return _IMATRIX
    return None


def _adapter(values: Mapping[str, Value]) -> str:
    stated = values.get("adapter.type", "lora")
    if stated == "lora":
        return _LORA
    return f"an adapter of the type {shown(str(stated))}, which is no model itself"


def _by_architecture(values: Mapping[str, Value]) -> str | None:
    architecture = values.get("general.architecture")
    if not isinstance(architecture, str) or not architecture:
        return "no model: its header has no general.architecture"
    if architecture == PROJECTOR:
        return _PROJECTOR
    if architecture == CONTROL_VECTOR:
        return "a control vector, which changes a model and is none itself"
    if values.get(f"{architecture}.attention.causal") is False:
        return "an encoder, which generates no text"
    pooling = _whole(values, f"{architecture}.pooling_type")
    if pooling in _POOLED:
        return "an embedding model, which generates no text"
    if pooling == _RANKED:
        return "a reranker, which generates no text"
    return NOT_SERVED.get(architecture)


def _by_tensors(tensors: frozenset[str]) -> str | None:
    if _EMBEDDINGS in tensors:
        return None
    if not tensors:
        return _VOCABULARY
    if any(name.endswith((".lora_a", ".lora_b")) for name in tensors):
        return _LORA
    if any(name.startswith(("v.", "mm.", "a.")) for name in tensors):
        return _PROJECTOR
    return f"no language model: it has no tensor '{_EMBEDDINGS}'"


def _by_tokenizer(values: Mapping[str, Value]) -> str | None:
    if values.get("tokenizer.ggml.model") in _NO_TOKENIZER:
        return "a model without a tokenizer"
    return None


def _whole(values: Mapping[str, Value], key: str) -> int | None:
    value = values.get(key)
    return value if type(value) is int else None
