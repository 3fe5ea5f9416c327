"""Owns the result of a prefix look-up and the counts of hits and misses.

The look-up itself is `KvCache.restore_prefix` in `app.engine.kv.kv_cache`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Hit:
    """What was known of a prompt.

    Args:
        n_tokens: leading tokens that need no prefill.
        tier: where they were: `memory`, `disk` or `none`.
        restore_ms: what bringing them back took.
        n_matched: leading tokens that other prompts have had, whether or not the prompt can go on
            there.
        miss: why nothing was known; empty where something was.
    """

    n_tokens: int
    tier: str
    restore_ms: float
    n_matched: int
    miss: str


class HitCounter:
    """Hits by tier, misses by reason.

    Attributes:
        by_tier: prompts that found a useful prefix.
        misses: prompts that did not, by `Hit.miss`.
        n_restored: tokens that needed no prefill.
    """

    def __init__(self) -> None:
        self.by_tier: Counter[str] = Counter()
        self.misses: Counter[str] = Counter()
        self.n_restored = 0

    def count(self, hit: Hit) -> None:
        """Count what a request found; once for each."""
        if hit.miss:
            self.misses[hit.miss] += 1
        else:
            self.by_tier[hit.tier] += 1
            self.n_restored += hit.n_tokens
