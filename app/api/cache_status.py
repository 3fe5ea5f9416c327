"""Owns the status of the prompt cache's tiers; sends no commands."""

from __future__ import annotations

from typing import Any

import msgspec

from app.host.supervisor import Supervisor
from app.protocol import CacheCounts


def disk_state(supervisor: Supervisor, counts: CacheCounts | None = None) -> tuple[str, str]:
    """Return the state of the disk tier, and the reason if it is not `ok`.

    `off` is disabled by the settings, `refused` unusable until the engine restarts, `paused`
    temporarily failing.

    Args:
        counts: the current counts; without them, the latest ones of the engine.
    """
    serving = supervisor.serving
    params = serving.cache if serving else supervisor.cache.params
    if not params.disk_cache_mb:
        return "off", "disk_cache_mb is 0"
    if params.refused:
        return "refused", params.refused
    if counts is None and serving:
        counts = serving.engine.stats.cache
    trouble = counts.trouble if counts else ""
    return ("paused", trouble) if trouble else ("ok", "")


def tiers_body(counts: CacheCounts, disk: tuple[str, str], folder: str) -> dict[str, Any]:
    """Return `tiers` of `GET /cache`."""
    state, message = disk
    return {
        "memory": {
            "entries": counts.memory_entries,
            **msgspec.structs.asdict(counts.memory_kinds),
            "bytes": counts.memory_bytes,
            "capacity_bytes": counts.memory_capacity_bytes,
            "hits": counts.memory_hits,
        },
        "disk": {
            "state": state,
            "message": message,
            "folder": folder,
            "entries": counts.disk_entries,
            **msgspec.structs.asdict(counts.disk_kinds),
            "bytes": counts.disk_bytes,
            "capacity_bytes": counts.disk_capacity_bytes,
            "hits": counts.disk_hits,
            "saves": counts.disk_saves,
            "evicted": counts.disk_evicted,
            "bad_entries": counts.disk_bad_entries,
            "waiting": counts.disk_waiting,
            "written_today_bytes": counts.written_today_bytes,
            "daily_write_bytes": counts.daily_write_bytes,
        },
    }
