"""Owns the reports on the prompt cache: counts, entries, and why a prompt missed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from app.base.prefix import common_prefix
from app.engine.kv.kv_cache import KvCache
from app.engine.kv.sequences import Lease
from app.protocol import CacheCounts, CacheMiss, CacheReport, ChangingHead


def cache_counts(kv_cache: KvCache) -> CacheCounts:
    """Return what the prompt cache did and holds."""
    hits = kv_cache.hits
    return kv_cache.disk.fill(
        CacheCounts(
            memory_hits=hits.by_tier["memory"],
            disk_hits=hits.by_tier["disk"],
            misses=dict(hits.misses),
            not_restored=dict(hits.not_restored),
            layout=kv_cache.shape.layout,
            layout_message=kv_cache.shape.whole_reason,
            memory_kinds=kv_cache.store.kinds(),
            restored_tokens=hits.n_restored,
            memory_entries=len(kv_cache.store),
            memory_bytes=kv_cache.store.n_bytes,
            memory_capacity_bytes=kv_cache.store.capacity_bytes,
        )
    )


def cache_report(
    kv_cache: KvCache, request_id: str, changing_heads: Sequence[ChangingHead] = ()
) -> CacheReport:
    """Return what the prompt cache did and holds, entry by entry."""
    return CacheReport(
        request_id=request_id,
        counts=cache_counts(kv_cache),
        entries=kv_cache.disk.entries(),
        changing_heads=list(changing_heads),
    )


def cache_miss(
    kv_cache: KvCache,
    lease: Lease,
    tokens: Sequence[int],
    render: Callable[[list[int]], str],
) -> CacheMiss | None:
    """Return where a prompt leaves the cached one that is most like it; None where it does not.

    To be asked when the request starts, before its leased sequence is restored.
    """
    closest = kv_cache.closest(lease, tokens)
    return first_difference(tokens, closest, render) if closest else None


def first_difference(
    prompt: Sequence[int],
    candidate: Sequence[int],
    render: Callable[[list[int]], str],
    span: int = 12,
) -> CacheMiss | None:
    """Return where `prompt` leaves `candidate`; None where one is the beginning of the other.

    Args:
        prompt: tokens that were asked for.
        candidate: tokens that were cached.
        render: shows tokens as text, special ones too.
        span: tokens to show of each side.
    """
    index = common_prefix(list(prompt), list(candidate))
    if index == min(len(prompt), len(candidate)):
        return None
    return CacheMiss(
        index=index,
        before=render(list(prompt[max(0, index - span) : index])),
        prompt=render(list(prompt[index : index + span])),
        cached=render(list(candidate[index : index + span])),
    )
