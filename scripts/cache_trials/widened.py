"""Owns writing a model of one's own with 32-bit weights, for trials whose rounding is small.

llama.cpp multiplies quantised weights with activations that are quantised too, which moves logprobs
by more than 0.1 where a prompt is computed in other pieces: no cache can do anything about it.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
from pathlib import Path

import llama_cpp.llama_cpp as lib

from scripts.benchmark.console import BenchFailed, say
from scripts.benchmark.random_model import FILE_TYPES, cache_folder

# llama.cpp calls it for as long as the process lives.
_SILENCE = lib.llama_log_callback(lambda _level, _text, _user_data: None)


def widened(model: Path) -> Path:
    """Return the path of a model with 32-bit weights, written first where it does not exist.

    Raises:
        BenchFailed: llama.cpp could not write it.
    """
    status = model.stat()
    wanted = repr((model.resolve(), status.st_size, status.st_mtime_ns))
    digest = hashlib.sha256(wanted.encode()).hexdigest()[:10]
    path = cache_folder() / f"{model.stem}-f32-{digest}.gguf"
    if path.is_file():
        return path
    say(f"writing {path.name}")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}")
    lib.llama_log_set(_SILENCE, ctypes.c_void_p(0))
    params = lib.llama_model_quantize_default_params()
    params.ftype = FILE_TYPES["f32"]
    params.allow_requantize = True
    failed = lib.llama_model_quantize(os.fsencode(model), os.fsencode(part), params)
    if failed:
        part.unlink(missing_ok=True)
        raise BenchFailed(f"llama.cpp could not write {model} with 32-bit weights")
    return part.replace(path)
