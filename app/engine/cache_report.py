"""Owns what the engine tells about its prompt cache."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from app.engine.difference import explain
from app.engine.residency import Residency
from app.engine.sequences import Lease
from app.protocol import CacheCounts, CacheMiss, CacheReport


def cache_counts(residency: Residency) -> CacheCounts:
    """Return what the prompt cache did and holds."""
    return residency.disk.fill(
        CacheCounts(
            memory_hits=residency.hits["memory"],
            disk_hits=residency.hits["disk"],
            misses=dict(residency.misses),
            restored_tokens=residency.n_restored,
            memory_entries=len(residency.store),
            memory_bytes=residency.store.n_bytes,
            memory_capacity_bytes=residency.store.capacity_bytes,
        )
    )


def cache_report(residency: Residency, request_id: str) -> CacheReport:
    """Return what the prompt cache did and holds, entry by entry."""
    return CacheReport(
        request_id=request_id,
        counts=cache_counts(residency),
        entries=residency.disk.entries(),
    )


def cache_miss(
    residency: Residency,
    lease: Lease,
    tokens: Sequence[int],
    render: Callable[[list[int]], str],
) -> CacheMiss | None:
    """Return where a prompt leaves the cached one that is most like it; None where it does not.

    To be asked when the request starts, before its sequence is brought to what the lease promises.
    """
    closest = residency.closest(lease, tokens)
    return explain(tokens, closest, render) if closest else None
