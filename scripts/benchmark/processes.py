"""Owns what Linux tells of processes that the benchmark started: descendants, end, CPU time."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

_CPUCLOCK_SCHED = 2  # Linux, include/linux/posix-timers_types.h


def with_descendants(pid: int) -> list[int]:
    """Return a process and all processes below it.

    Threads and processes may end meanwhile.
    """
    found = [pid]
    for each in found:  # grows while it is read
        for path in Path(f"/proc/{each}/task").glob("*/children"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                found += map(int, path.read_text().split())
    return found


def is_running(pid: int) -> bool:
    """Say whether a process lives; one that ended and waits for its parent does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def cpu_ms(pid: int) -> float:
    """Return the CPU time that all threads of a process have used, user and system together.

    The clock's number is made as clock_getcpuclockid(3) does on Linux.
    """
    return time.clock_gettime_ns(~pid << 3 | _CPUCLOCK_SCHED) / 1e6


def clean_environment() -> dict[str, str]:
    """Return the environment without what would change the settings of a server."""
    unwanted = ("DISTILLER", "LLAMA_ARG")
    return {
        name: value
        for name, value in os.environ.items()
        if not any(word in name for word in unwanted)
    }


def end(process: subprocess.Popen[str], timeout_s: float) -> None:
    """End a process: asks first, kills after `timeout_s`."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class ClosedAtExit:
    """Something with a `close` that ends with the `with` block it is used in."""

    def close(self) -> None:
        """Give everything back."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
