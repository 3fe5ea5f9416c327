"""Owns reading how much memory processes hold, from Linux's /proc."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def memory_mb(pids: Iterable[int]) -> tuple[float, float]:
    """Return the sums of resident and of proportional set sizes, in MB of 10^6 bytes.

    Resident counts a page shared by two processes twice, proportional shares it among them.
    Source: proc_pid_smaps(5).
    """
    resident_kib = proportional_kib = 0
    for pid in pids:
        fields = {}
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
            name, amount = line.split()[:2]
            fields[name.rstrip(":")] = int(amount)
        resident_kib += fields["Rss"]
        proportional_kib += fields["Pss"]
    return resident_kib * 1024 / 1e6, proportional_kib * 1024 / 1e6
