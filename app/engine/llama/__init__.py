"""Owns every call into llama.cpp: the only package that imports `llama_cpp`.

It speaks plain Python values and knows nothing of requests, scheduling or text. Names and return
codes are those of `llama.h`. `disk_cache` is for users of the high-level `Llama`; the engine does
not import it.
"""

from __future__ import annotations

from app.engine.llama.context import (
    DECODE_ABORTED,
    DECODE_NO_KV_SLOT,
    DECODE_OK,
    BatchPart,
    Context,
    DecodeFailed,
)
from app.engine.llama.library import because, build_version, route_logs
from app.engine.llama.model import Model
from app.engine.llama.sampler import Sampler
from app.engine.llama.state_layout import StateLayout, StateParts

__all__ = [
    "DECODE_ABORTED",
    "DECODE_NO_KV_SLOT",
    "DECODE_OK",
    "BatchPart",
    "Context",
    "DecodeFailed",
    "Model",
    "Sampler",
    "StateLayout",
    "StateParts",
    "because",
    "build_version",
    "route_logs",
]
