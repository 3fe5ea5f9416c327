"""Owns the result of a prefix look-up, why it is not more, and the counts of hits and misses.

The look-up itself is `KvCache.restore_prefix` in `app.engine.kv.kv_cache`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from app.engine.kv.memory_store import MIN_USEFUL_TOKENS
from app.engine.kv.state_shape import StateShape


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
        not_restored: why `n_tokens` is less than `n_matched`; empty where it is not.
    """

    n_tokens: int
    tier: str
    restore_ms: float
    n_matched: int
    miss: str
    not_restored: str = ""


class HitCounter:
    """Hits by tier, misses by reason.

    Attributes:
        by_tier: prompts that found a useful prefix.
        misses: prompts that did not, by `Hit.miss`.
        not_restored: the misses of this reason, by `Hit.not_restored`.
        n_restored: tokens that needed no prefill.
    """

    def __init__(self) -> None:
        self.by_tier: Counter[str] = Counter()
        self.misses: Counter[str] = Counter()
        self.not_restored: Counter[str] = Counter()
        self.n_restored = 0

    def count(self, hit: Hit) -> None:
        """Count what a request found; once for each."""
        if hit.miss:
            self.misses[hit.miss] += 1
        else:
            self.by_tier[hit.tier] += 1
            self.n_restored += hit.n_tokens
        if hit.miss == "not_restored":
            self.not_restored[hit.not_restored] += 1


def miss_reason(
    n_prompt: int, n_tokens: int, n_matched: int, has_entries: Callable[[], bool]
) -> str:
    """Return why a prompt of `n_prompt` tokens is a miss; empty where it is a hit.

    Args:
        n_tokens: leading tokens that were restored.
        n_matched: leading tokens that are cached.
        has_entries: returns whether anything is cached.
    """
    if n_tokens >= MIN_USEFUL_TOKENS:
        return ""
    if n_matched >= MIN_USEFUL_TOKENS:
        return "not_restored"
    if n_tokens:
        return "no_match"
    if n_prompt < MIN_USEFUL_TOKENS:
        return "short_prompt"
    return "no_match" if has_entries() else "empty"


def why_not_restored(
    shape: StateShape, n_tokens: int, n_restorable: int, n_matched: int, failure: str
) -> str:
    """Return why fewer tokens were restored than are cached; empty where they were not fewer.

    Args:
        shape: what of the model's state is kept how.
        n_tokens: leading tokens that were restored.
        n_restorable: leading tokens after which the prompt could go on, as far as was known before.
        n_matched: leading tokens that are cached.
        failure: what went wrong when they were restored; empty where nothing did.

    Returns:
        `failure`; `too_few` where it would save hardly any; `not_worth_reading` where computing
        them is faster than reading them; `no_state`, `window_lost` or, where a sequence that had
        the tokens was displaced and not kept, `no_room`.
    """
    if n_tokens >= n_matched:
        return ""
    if n_restorable > n_tokens:
        is_little = n_restorable < n_tokens + MIN_USEFUL_TOKENS
        return failure or ("too_few" if is_little else "not_worth_reading")
    if n_matched < MIN_USEFUL_TOKENS:
        return "too_few"
    if shape.needs_state:
        return "no_state"
    return "window_lost" if shape.n_window else "no_room"
