"""hog.py CGROUP UNTIL: takes memory in steps until something has happened to a control group.

UNTIL is `oom_kill`, the kernel's count of ended processes, or `memory_pressure`, the log event.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

STEP_BYTES = 1 << 20
MOST_STEPS = 1500
PATIENCE_S = 300


def kills(cgroup: Path) -> int:
    counts = dict(line.split() for line in (cgroup / "memory.events").read_text().splitlines())
    return int(counts["oom_kill"])


def was_told() -> bool:
    command = ["journalctl", "-u", "distiller-llm", "-o", "cat", "-q", "EVENT=memory_pressure"]
    return bool(subprocess.run(command, check=True, capture_output=True).stdout)


def main(cgroup: Path, until: str) -> None:
    before, began = kills(cgroup), time.monotonic()
    taken: list[bytes] = []
    while len(taken) < MOST_STEPS and time.monotonic() - began < PATIENCE_S:
        taken.append(b"x" * STEP_BYTES)
        if until == "oom_kill":
            has_happened = kills(cgroup) > before
        else:
            has_happened = len(taken) % 8 == 0 and was_told()
        if has_happened:
            return
    sys.exit(f"nothing happened with {len(taken)} MiB")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
