"""Owns how an engine process exited: when, why, and whether the kernel's OOM killer ended it.

A process that is OOM-killed gets SIGKILL and cannot report it; the kernel counts its kills.
"""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import dataclass
from pathlib import Path

from app.device.kernel_files import fields, own_cgroups

_OOM_KILLED = "probably the kernel's OOM killer; a smaller n_ctx or model needs less memory"
_KILLED_BY_OTHERS = (
    "not sent by this service; the kernel (out of memory) or an operator may have sent it"
)


def oom_kill_count(root: Path = Path("/")) -> int | None:
    """Return how many processes the OOM killer has ended; None if unknown.

    Sources: `oom_kill` in memory.events (version 1: memory.oom_control) of this process's cgroup,
    else in /proc/vmstat, which counts system-wide.
    """
    for cgroup in own_cgroups(root):
        name = "memory.events" if cgroup.version == 2 else "memory.oom_control"
        count = fields(cgroup.folder / name).get("oom_kill")
        if count is not None:
            return count
    return fields(root / "proc/vmstat").get("oom_kill")


async def wait_for_exit(pid: int) -> None:
    """Wait until a child process has exited; the caller still has to reap it."""
    descriptor = os.pidfd_open(pid)
    loop = asyncio.get_running_loop()
    exited = asyncio.Event()
    loop.add_reader(descriptor, exited.set)
    try:
        await exited.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


@dataclass(frozen=True, slots=True)
class ProcessExit:
    """How a process exited.

    Args:
        code: as in `subprocess`: the exit status, or the negated signal number.
        killed_by_us: whether this service sent SIGKILL.
        oom_kills: how much `oom_kill_count` rose while the process ran.
    """

    code: int
    killed_by_us: bool
    oom_kills: int

    @property
    def is_oom(self) -> bool:
        """Whether the OOM killer has probably ended it."""
        return self.code == -signal.SIGKILL and not self.killed_by_us and self.oom_kills > 0

    def reason(self, last_line: str | None) -> str:
        """Return the exit reason as text.

        Args:
            last_line: the last line the process wrote to stderr, or the one that says why.
        """
        code = self.code
        reason = f"exit status {code}" if code >= 0 else f"signal {_signal_name(-code)}"
        if self.is_oom:
            reason += f": {_OOM_KILLED}"
        elif code == -signal.SIGKILL and not self.killed_by_us:
            reason += f": {_KILLED_BY_OTHERS}"
        return f"{reason}; last stderr line: {last_line}" if last_line else reason


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
