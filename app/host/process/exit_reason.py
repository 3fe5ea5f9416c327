"""Owns why an engine process ended, the kernel's out-of-memory killer above all.

The killer sends SIGKILL and leaves no word with the victim; it counts its kills, though.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass
from pathlib import Path

from app.device.kernel_files import fields, own_cgroups

_KILLED = "the kernel's out-of-memory killer ended it; a smaller n_ctx or model needs less memory"
_UNKNOWN = "not by this service; perhaps memory was short and the kernel or an operator killed it"


def kill_count(root: Path = Path("/")) -> int | None:
    """Return how many processes the kernel has killed for want of memory; None where unknown.

    Sources: `oom_kill` in memory.events (version 1: memory.oom_control) of this process's cgroup,
    or in /proc/vmstat, which counts for the whole system.
    """
    for cgroup in own_cgroups(root):
        name = "memory.events" if cgroup.version == 2 else "memory.oom_control"
        count = fields(cgroup.folder / name).get("oom_kill")
        if count is not None:
            return count
    return fields(root / "proc/vmstat").get("oom_kill")


@dataclass(frozen=True, slots=True)
class ProcessExit:
    """How a process ended.

    Args:
        code: as `subprocess` has it: the exit status, or the signal's number below zero.
        was_ours: whether this service killed it.
        oom_kills: by how much `kill_count` has risen since it started.
    """

    code: int
    was_ours: bool
    oom_kills: int

    @property
    def is_oom(self) -> bool:
        """Whether the out-of-memory killer has probably ended it."""
        return self.code == -signal.SIGKILL and not self.was_ours and self.oom_kills > 0

    def reason(self, last_line: str | None) -> str:
        """Return why it ended, in words.

        Args:
            last_line: what the process printed last.
        """
        code = self.code
        reason = f"exit status {code}" if code >= 0 else f"signal {_signal_name(-code)}"
        if self.is_oom:
            reason += f": probably {_KILLED}"
        elif code == -signal.SIGKILL and not self.was_ours:
            reason += f": {_UNKNOWN}"
        return f"{reason}; last words: {last_line}" if last_line else reason


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
