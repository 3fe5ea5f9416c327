"""Owns the recommended memory limits of the service; must not know systemd's unit files."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1024 * 1024
RESERVE_SHARE = 0.10
RESERVE_BYTES = 256 * MIB
# The two processes without a model: interpreters, libraries, requests in flight.
SERVICE_BYTES = 256 * MIB
MARGIN_SHARE = 0.05
_HIGH_SHARE = 0.95


@dataclass(frozen=True, slots=True)
class MemoryLimits:
    """Recommended values of systemd's MemoryHigh and MemoryMax, in bytes.

    Args:
        high: above this the kernel reclaims memory and throttles the service.
        max: above this the OOM killer ends a process of the service.
        needed: the expected memory of the service with its model.
    """

    high: int
    max: int
    needed: int

    @property
    def fits(self) -> bool:
        """Whether the limits leave what the service needs."""
        return self.needed <= self.high


def recommend_limits(total_bytes: int, model_bytes: int, idle_cache_bytes: int) -> MemoryLimits:
    """Return limits that keep the device reachable and give the model what it needs.

    A tenth of the memory, at least 256 MiB, is reserved for the rest of the system; the service may
    use all else, because another model may be loaded beside the first or in its place. Throttling
    starts 5 % earlier, or later if the model needs it.

    Args:
        total_bytes: the machine's memory.
        model_bytes: `MemoryEstimate.total_bytes` of the model; 0 without a model.
        idle_cache_bytes: the budget of idle conversations.
    """
    needed = round((model_bytes + idle_cache_bytes + SERVICE_BYTES) * (1 + MARGIN_SHARE))
    most = max(0, total_bytes - max(RESERVE_BYTES, round(total_bytes * RESERVE_SHARE)))
    high = min(most, max(round(most * _HIGH_SHARE), needed))
    return MemoryLimits(high=high, max=most, needed=needed)
