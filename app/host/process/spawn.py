"""Owns the start of an engine process: its command line, its socket, its environment."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from pathlib import Path

from app.config.settings import ENV_PREFIX

_OOM_SCORE_AHEAD, _OOM_SCORE_MOST = 200, 1000  # proc_pid_oom_score_adj(5)
_ENGINE_MODULE = "app.engine.main"
# Where API keys may stand. The engine reads hostile files and has no use for them.
_NOT_INHERITED = (ENV_PREFIX, "CREDENTIALS_DIRECTORY")
_PROJECT_ROOT = Path(__file__).resolve().parents[3]


class SpawnedEngine:
    """A started engine process that no event loop looks after yet.

    Starting it early lets it import while the HTTP process imports its own.
    """

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        isolated = ["-I"] if sys.flags.isolated else []
        self.process = subprocess.Popen(  # noqa: S603 - fixed words, no shell
            [sys.executable, *isolated, "-m", _ENGINE_MODULE, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={
                **{k: v for k, v in os.environ.items() if not k.startswith(_NOT_INHERITED)},
                "PYTHONPATH": str(_PROJECT_ROOT),
                "PYTHONUNBUFFERED": "1",
            },
        )
        theirs.close()
        self.socket = ours
        _end_first(self.process.pid)

    def discard(self) -> None:
        """End a process that is not needed after all."""
        self.socket.close()
        self.process.kill()
        self.process.wait()
        if self.process.stderr is not None:
            self.process.stderr.close()


def _end_first(pid: int) -> None:
    """Have the kernel end a process where memory ends, before the one that would start it again.

    From its first moment on: while it imports it is still the smaller one.
    """
    score = Path(f"/proc/{pid}/oom_score_adj")
    with contextlib.suppress(OSError, ValueError):
        score.write_text(str(min(int(score.read_text()) + _OOM_SCORE_AHEAD, _OOM_SCORE_MOST)))
