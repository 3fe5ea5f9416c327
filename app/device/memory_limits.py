"""Owns which memory limits suit the service on a device; must not know systemd's files."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1024 * 1024
RESERVE_SHARE = 0.10
RESERVE_BYTES = 256 * MIB
# The two processes themselves: interpreters, libraries, requests on their way.
SERVICE_BYTES = 256 * MIB
MARGIN_SHARE = 0.05
_HIGH_SHARE = 0.95


@dataclass(frozen=True, slots=True)
class MemoryLimits:
    """What systemd's MemoryHigh and MemoryMax may be, in bytes.

    Args:
        high: from here on the kernel takes memory back and slows the service down.
        max: beyond this it ends a process of the service.
        needed: what the service is expected to need with its model.
    """

    high: int
    max: int
    needed: int

    @property
    def fits(self) -> bool:
        """Whether the service can have what it needs."""
        return self.needed <= self.high


def recommend_limits(total_bytes: int, model_bytes: int, idle_cache_bytes: int) -> MemoryLimits:
    """Return limits that leave the device enough to be reached and the model what it needs.

    A tenth of the memory and at least 256 MiB stay with the device. The service may have all the
    rest: another model may be loaded beside the first or in its place, and a limit just above the
    first one's needs would make its context smaller. Slowing down begins 5 % earlier, or as late as
    the model needs it.

    Args:
        total_bytes: the machine's memory.
        model_bytes: `fit.MemoryEstimate.total_bytes` of the model; 0 where there is none.
        idle_cache_bytes: what idle conversations may take.
    """
    needed = round((model_bytes + idle_cache_bytes + SERVICE_BYTES) * (1 + MARGIN_SHARE))
    most = max(0, total_bytes - max(RESERVE_BYTES, round(total_bytes * RESERVE_SHARE)))
    high = min(most, max(round(most * _HIGH_SHARE), needed))
    return MemoryLimits(high=high, max=most, needed=needed)
