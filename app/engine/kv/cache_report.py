"""Owns what the engine tells about its prompt cache."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from app.engine.kv.difference import explain
from app.engine.kv.kv_cache import KvCache
from app.engine.kv.sequences import Lease
from app.protocol import CacheCounts, CacheMiss, CacheReport


def cache_counts(kv_cache: KvCache) -> CacheCounts:
    """Return what the prompt cache did and holds."""
    return kv_cache.disk.fill(
        CacheCounts(
            memory_hits=kv_cache.hits["memory"],
            disk_hits=kv_cache.hits["disk"],
            misses=dict(kv_cache.misses),
            restored_tokens=kv_cache.n_restored,
            memory_entries=len(kv_cache.store),
            memory_bytes=kv_cache.store.n_bytes,
            memory_capacity_bytes=kv_cache.store.capacity_bytes,
        )
    )


def cache_report(kv_cache: KvCache, request_id: str) -> CacheReport:
    """Return what the prompt cache did and holds, entry by entry."""
    return CacheReport(
        request_id=request_id,
        counts=cache_counts(kv_cache),
        entries=kv_cache.disk.entries(),
    )


def cache_miss(
    kv_cache: KvCache,
    lease: Lease,
    tokens: Sequence[int],
    render: Callable[[list[int]], str],
) -> CacheMiss | None:
    """Return where a prompt leaves the cached one that is most like it; None where it does not.

    To be asked when the request starts, before its sequence is brought to what the lease promises.
    """
    closest = kv_cache.closest(lease, tokens)
    return explain(tokens, closest, render) if closest else None
