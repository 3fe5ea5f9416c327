"""Owns the prompt cache in the shape that llama-cpp-python gives it; the store does the work.

Upstream's `LlamaDiskCache` removes what it reads, unpickles files, unpickles every key for a
look-up and ignores `capacity_bytes`. This one keeps its contract (`cache[tokens]`, `in`,
`cache_size`, `capacity_bytes`) and none of that. The engine uses `store` alone.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt
from llama_cpp.llama import LlamaState
from llama_cpp.llama_cache import BaseLlamaCache, LlamaDiskCache

from app.promptcache import DiskStore, EntryContent, PrefixMatch

# `llama_state_get_data` of a whole context, not of a sequence.
_FORM = "context"
_MAX_ELEMENTS = 1 << 34
_TRIES = 3

_Array = npt.NDArray[Any]


class _ArrayLayout(msgspec.Struct, frozen=True):
    """An array of which only the first `n_rows` are stored; the others are zero."""

    dtype: Literal["int32", "float32"]
    shape: list[int]
    n_rows: int


class _StateLayout(msgspec.Struct, frozen=True):
    """What lies in the state section, one after the other: llama.cpp's bytes and two arrays."""

    n_tokens: int
    seed: int
    n_llama_bytes: int
    input_ids: _ArrayLayout
    scores: _ArrayLayout


def _ignore(_level: str, _text: str) -> None:
    pass


class PromptDiskCache(LlamaDiskCache):
    """A `LlamaDiskCache` on a `DiskStore`.

    Args:
        cache_dir: root that all models share.
        capacity_bytes: what the entries of all models may take.
        fingerprint: names the model, its context parameters and the llama.cpp build.
        model_folder: name of the model's folder below the root.
        daily_write_bytes: what may be written a day; 0 is no limit.
        can_cut: whether a restored state may lose its end.
        notify: gets a level and a sentence.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        cache_dir: str | Path = ".cache/llama_cache",
        capacity_bytes: int = 2 << 30,
        *,
        fingerprint: str,
        model_folder: str = "model",
        daily_write_bytes: int = 0,
        can_cut: bool = True,
        notify: Callable[[str, str], None] = _ignore,
        clock: Callable[[], float] = time.time,
    ) -> None:
        # Not LlamaDiskCache's own: that opens a database of pickles.
        BaseLlamaCache.__init__(self, capacity_bytes)
        self.store = DiskStore(
            Path(cache_dir),
            model_folder,
            fingerprint,
            capacity_bytes=capacity_bytes,
            daily_write_bytes=daily_write_bytes,
            can_cut=can_cut,
            notify=notify,
            clock=clock,
        )

    @property
    def cache_size(self) -> int:
        """Bytes that the entries of this model take on the disk."""
        return self.store.status().n_bytes

    def _find_longest_prefix_key(self, key: Sequence[int]) -> tuple[int, ...] | None:
        found = self._find(key)
        return None if found is None else tuple(key[: found.n_shared])

    def _find(self, key: Sequence[int]) -> PrefixMatch | None:
        return self.store.find(key, form=_FORM)

    def __contains__(self, key: Sequence[int]) -> bool:
        return self._find(key) is not None

    def __getitem__(self, key: Sequence[int]) -> LlamaState:
        """Return the state that shares the longest prefix with these tokens.

        Raises:
            KeyError: there is none that shares a useful one.
        """
        for _ in range(_TRIES):
            found = self._find(key)
            if found is None:
                break
            snapshot = self.store.read(found)
            state = None if snapshot is None else _unpack(snapshot)
            if state is not None:
                return state
        raise KeyError("no state in the cache shares a prefix with these tokens")

    def __setitem__(self, key: Sequence[int], value: LlamaState) -> None:
        """Keep the state of these tokens, unless the disk or a budget forbids it."""
        self.store.set_capacity(self.capacity_bytes)
        extra, state = _pack(value)
        # A longer state can be cut to what a shorter one was, where states can be cut.
        self.store.write(key, state, extra=extra, form=_FORM, replaces=self.store.can_cut)


def _pack(value: LlamaState) -> tuple[bytes, bytes]:
    llama_bytes = value.llama_state[: value.llama_state_size]
    ids_layout, ids_bytes = _pack_array(value.input_ids)
    scores_layout, scores_bytes = _pack_array(value.scores)
    layout = _StateLayout(
        n_tokens=int(value.n_tokens),
        seed=int(value.seed),
        n_llama_bytes=len(llama_bytes),
        input_ids=ids_layout,
        scores=scores_layout,
    )
    return msgspec.msgpack.encode(layout), b"".join((llama_bytes, ids_bytes, scores_bytes))


def _pack_array(array: _Array) -> tuple[_ArrayLayout, bytes]:
    rows = array.reshape(len(array), math.prod(array.shape[1:]))
    used = np.flatnonzero((rows.view(np.uint32) != 0).any(axis=1))  # rows may hold NaN
    n_rows = int(used[-1]) + 1 if len(used) else 0
    layout = msgspec.convert(
        {"dtype": array.dtype.name, "shape": list(array.shape), "n_rows": n_rows}, _ArrayLayout
    )
    return layout, array[:n_rows].tobytes()


def _unpack(snapshot: EntryContent) -> LlamaState | None:
    try:
        layout = msgspec.msgpack.decode(snapshot.extra, type=_StateLayout)
        rest = memoryview(snapshot.state)
        llama_bytes, rest = bytes(rest[: layout.n_llama_bytes]), rest[layout.n_llama_bytes :]
        input_ids, rest = _unpack_array(layout.input_ids, rest)
        scores, _ = _unpack_array(layout.scores, rest)
    except (msgspec.MsgspecError, ValueError, MemoryError):
        return None
    return LlamaState(
        input_ids=input_ids,
        scores=scores,
        n_tokens=layout.n_tokens,
        llama_state=llama_bytes,
        llama_state_size=len(llama_bytes),
        seed=layout.seed,
    )


def _unpack_array(layout: _ArrayLayout, source: memoryview) -> tuple[_Array, memoryview]:
    """Return the array at the beginning of `source` and what comes after it.

    Raises:
        ValueError: they do not fit together.
    """
    if min(layout.shape, default=-1) < 0 or math.prod(layout.shape) > _MAX_ELEMENTS:
        raise ValueError("no shape of an array")
    if not 0 <= layout.n_rows <= layout.shape[0]:
        raise ValueError("more rows than the array has")
    array: _Array = np.zeros(layout.shape, dtype=layout.dtype)
    stored = array[: layout.n_rows]
    stored[...] = np.frombuffer(source[: stored.nbytes], dtype=layout.dtype).reshape(stored.shape)
    return array, source[stored.nbytes :]
