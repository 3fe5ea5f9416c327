"""Owns the default number of compute threads; must not know llama.cpp."""

from __future__ import annotations

import os
from pathlib import Path

_CPU_ROOT = Path("/sys/devices/system/cpu")
_CGROUP_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def default_threads(
    cpus: set[int] | None = None,
    cpu_root: Path = _CPU_ROOT,
    quota_file: Path = _CGROUP_QUOTA,
) -> int:
    """Return how many threads compute fastest: the physical cores this process may use.

    Hyper-threads share the arithmetic units that matrix products keep busy, so only one of
    each core counts. A cgroup CPU quota caps the result.
    """
    allowed = os.sched_getaffinity(0) if cpus is None else cpus
    cores = {_siblings(cpu, cpu_root) for cpu in allowed}
    return max(1, min(len(cores), _quota(quota_file) or len(cores)))


def _siblings(cpu: int, cpu_root: Path) -> str:
    try:
        return (cpu_root / f"cpu{cpu}/topology/thread_siblings_list").read_text().strip()
    except OSError:
        return str(cpu)


def _quota(quota_file: Path) -> int | None:
    try:
        quota, period = quota_file.read_text().split()
        return max(1, int(quota) // int(period))
    except (OSError, ValueError):
        return None
