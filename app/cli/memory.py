"""Owns the command `recommend-memory`: limits for systemd, from the device and the model."""

from __future__ import annotations

import sys

import msgspec

from app.config.models import aliases_of
from app.config.settings import Settings
from app.device.kernel_files import memory_total_bytes
from app.device.memory_limits import MIB, MemoryLimits, recommend_limits
from app.errors import DistillerError
from app.host import memory_estimate
from app.models.catalog import Catalog
from app.models.gguf import GgufError
from app.models.names import Naming
from app.protocol import LoadParams, QueueParams


def recommend_memory(settings: Settings) -> int:
    """Print `MemoryHigh=` and `MemoryMax=` for a unit file, and a note on stderr.

    Returns:
        The exit status: 1 if the amount of memory is unknown.
    """
    total_bytes = memory_total_bytes()
    if total_bytes is None:
        print("/proc/meminfo does not state the amount of memory", file=sys.stderr)
        return 1
    try:
        name, model_bytes = _needs(settings)
    except (DistillerError, GgufError, OSError) as error:
        print(f"the model cannot be read: {error}", file=sys.stderr)
        name, model_bytes = None, 0
    limits = recommend_limits(
        total_bytes, model_bytes, settings.part(QueueParams).idle_cache_mb * MIB
    )
    print(f"MemoryHigh={limits.high}")
    print(f"MemoryMax={limits.max}")
    print(_note(name, total_bytes, limits), file=sys.stderr)
    return 0


def _needs(settings: Settings) -> tuple[str | None, int]:
    """Return the model's name and the bytes it needs with the configured context."""
    catalog = Catalog(settings.models_dir, Naming(aliases_of(settings.models)))
    file = catalog.default(settings.model_name)
    if file is None:
        return None, 0
    facts = catalog.facts(file)
    params, n_seq_max = settings.part(LoadParams), settings.part(QueueParams).n_seq_max
    n_ctx, _ = memory_estimate.clamp_n_ctx(
        params.n_ctx, facts, file.size_bytes, params, sys.maxsize, n_seq_max
    )
    params = msgspec.structs.replace(params, n_ctx=n_ctx)
    needed = memory_estimate.estimate(facts, file.size_bytes, params, n_seq_max)
    return file.name, needed.total_bytes


def _note(name: str | None, total_bytes: int, limits: MemoryLimits) -> str:
    total, needed = total_bytes // MIB, -(-limits.needed // MIB)
    if name is None:
        return f"no model; {total - limits.max // MIB} of {total} MiB are reserved for the system"
    if limits.fits:
        return f"{name} needs about {needed} MiB of {total} MiB"
    return (
        f"{name} needs about {needed} MiB and can have {limits.high // MIB} of {total} MiB: "
        "its context will be lowered, or it will not load"
    )
