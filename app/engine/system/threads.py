"""Owns the default number of compute threads; must not know llama.cpp."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

_ROOT = Path("/")
_UNIFIED = "0::"


def default_threads(cpus: set[int] | None = None, root: Path = _ROOT) -> int:
    """Return how many threads compute fastest: the physical cores this process may use.

    Hyper-threads share the arithmetic units that matrix products keep busy, so only one of
    each core counts. A CPU quota of the process's cgroup, or of one above it, caps the result.

    Args:
        cpus: the processors it may run on; None asks the kernel.
        root: where `proc` and `sys` are.
    """
    allowed = os.sched_getaffinity(0) if cpus is None else cpus
    cores = {_siblings(cpu, root) for cpu in allowed}
    return max(1, min([len(cores), *_quotas(root)]))


def usable_threads(requested: int | None, n_cpus: int | None = None) -> int | None:
    """Return as many of the requested threads as can run at once; None stays None.

    Threads beyond that wait for each other at every operation: 1024 on 2 cores take ten times as
    long as 2.
    """
    most = len(os.sched_getaffinity(0)) if n_cpus is None else n_cpus
    return min(requested, most) if requested else None


def _siblings(cpu: int, root: Path) -> str:
    try:
        topology = root / f"sys/devices/system/cpu/cpu{cpu}/topology"
        return (topology / "thread_siblings_list").read_text().strip()
    except OSError:
        return str(cpu)


def _quotas(root: Path) -> list[int]:
    """Return the whole processors that each cgroup from our own upwards allows."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    own = [line.removeprefix(_UNIFIED) for line in lines if line.startswith(_UNIFIED)]
    quotas = []
    for path in own:
        for group in (PurePosixPath(path), *PurePosixPath(path).parents):
            quota = _quota(root / "sys/fs/cgroup" / str(group).lstrip("/") / "cpu.max")
            if quota is not None:
                quotas.append(quota)
    return quotas


def _quota(file: Path) -> int | None:
    try:
        quota, period = file.read_text().split()
        return max(1, int(quota) // int(period))
    except (OSError, ValueError):
        return None
