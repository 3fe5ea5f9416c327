"""Owns models of metadata alone: llama.cpp sizes their memory, and allocates none of it."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from app.engine.decode.speculation import MAX_DRAFT_TOKENS
from app.engine.llama import Context, Model, route_logs
from app.engine.llama.bindings import lib
from app.parameters.rollback import n_rollback
from app.protocol import LoadParams
from tests.models.gguf_files import header

MIB = 1024 * 1024

_CACHE = re.compile(r"size = +([\d.]+) MiB \( *\d+ cells, .*\), [KR] \(")
_COMPUTE = re.compile(r"(?:compute|output) buffer size = +([\d.]+) MiB")
_NO_TENSOR = lib.llama_model_set_tensor_data_t(lambda _tensor, _user_data: None)


class _GgufInit(ctypes.Structure):
    _fields_ = (("no_alloc", ctypes.c_bool), ("context", ctypes.c_void_p))


@dataclass(frozen=True, slots=True)
class Sizes:
    """What llama.cpp says that a context takes, in bytes.

    Attributes:
        cache: of keys, values and recurrent states; rounded to hundredths of a MiB.
        compute: of its compute buffer, and of the logits kept for sampling.
    """

    cache: float
    compute: float


class VirtualModel:
    """A model without weights."""

    def __init__(self, handle: Any, lines: list[str], architecture: str) -> None:
        self.handle = handle
        self._lines = lines
        self._n_rollback = n_rollback(architecture, lib.llama_model_n_swa(handle))
        vocab = lib.llama_model_get_vocab(handle)
        self._model = SimpleNamespace(
            handle=handle,
            n_swa=lib.llama_model_n_swa(handle),
            n_vocab=lib.llama_vocab_n_tokens(vocab),
        )

    def sizes(self, params: LoadParams, n_seq_max: int) -> Sizes:
        """Return what a context takes that the engine would make."""
        self._lines.clear()
        Context(
            cast(Model, self._model),
            params,
            n_seq_max=n_seq_max,
            n_threads=1,
            n_more_outputs=MAX_DRAFT_TOKENS,
            n_rollback=self._n_rollback,
        ).close()
        return Sizes(self._sum(_CACHE), self._sum(_COMPUTE))

    def _sum(self, pattern: re.Pattern[str]) -> float:
        found = (pattern.search(line) for line in self._lines)
        return MIB * sum(float(match[1]) for match in found if match)


@contextmanager
def virtual_model(values: Mapping[str, Any], folder: Path) -> Iterator[VirtualModel]:
    """Give llama.cpp a model that consists of these metadata."""
    path = folder / "virtual.gguf"
    front = header(values)
    path.write_bytes(front + bytes(-len(front) % 32))
    lines: list[str] = []
    route_logs(lambda _level, text: lines.append(text))
    params = lib.llama_model_default_params()
    params.no_alloc = True
    params.n_gpu_layers = 0
    metadata = _metadata(path)
    handle = lib.llama_model_init_from_user(metadata, _NO_TENSOR, None, params)
    lib._lib.gguf_free(ctypes.c_void_p(metadata))
    try:
        assert handle, "\n".join(line for line in lines if "error" in line)
        yield VirtualModel(handle, lines, values["general.architecture"])
    finally:
        if handle:
            lib.llama_model_free(handle)
        route_logs(lambda _level, _text: None)


def _metadata(path: Path) -> Any:
    read = lib._lib.gguf_init_from_file
    read.restype, read.argtypes = ctypes.c_void_p, [ctypes.c_char_p, _GgufInit]
    found = read(str(path).encode(), _GgufInit(True, None))
    assert found
    return found
