"""Owns the JSON objects that several dialects share: usage, timings, cache; no I/O."""

from __future__ import annotations

from typing import Any

import msgspec

from app.api.outcome import decode_per_second, per_second
from app.protocol import CacheMatch, CacheMiss, Timings, Usage


def usage_body(usage: Usage) -> dict[str, Any]:
    """Return OpenAI's `usage` object."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def timings_body(timings: Timings) -> dict[str, Any]:
    """Return llama-server's `timings` object; queue, first token and cache tier are added."""
    return {
        "queue_ms": timings.queue_ms,
        "ttft_ms": timings.ttft_ms,
        "tier": timings.tier,
        "restore_ms": timings.restore_ms,
        "cache_n": timings.cache_n,
        "prompt_n": timings.prompt_n,
        "prompt_ms": timings.prompt_ms,
        "prompt_per_second": per_second(timings.prompt_n, timings.prompt_ms),
        "predicted_n": timings.predicted_n,
        "predicted_ms": timings.predicted_ms,
        "predicted_per_second": decode_per_second(timings),
    }


def cache_body(
    usage: Usage, timings: Timings, match: CacheMatch | None, miss: CacheMiss | None
) -> dict[str, Any]:
    """Return the `cache` object that `explain_cache` asks for."""
    return {
        "tier": timings.tier,
        "cached_tokens": usage.cached_tokens,
        "matched_tokens": match.tokens if match else usage.cached_tokens,
        "not_restored": (match and match.not_restored) or None,
        "prompt_tokens": usage.prompt_tokens,
        "first_difference": miss and msgspec.to_builtins(miss, builtin_types=()),
    }
