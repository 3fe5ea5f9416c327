"""Owns spawning an engine process: command line, socket pair, environment, OOM score."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from pathlib import Path

from app.config.settings import ENV_PREFIX

_OOM_SCORE_OFFSET, _OOM_SCORE_MAX = 200, 1000  # proc_pid_oom_score_adj(5)
_ENGINE_MODULE = "app.engine.main"
# May hold API keys. The engine parses untrusted files and has no use for them.
_SCRUBBED_ENV = (ENV_PREFIX, "CREDENTIALS_DIRECTORY")
_PROJECT_ROOT = Path(__file__).resolve().parents[3]


class SpawnedEngine:
    """A running engine process that is not attached to an event loop yet.

    Spawning it early lets it import its modules while the HTTP process imports its own.
    """

    def __init__(self) -> None:
        parent_socket, child_socket = socket.socketpair()
        isolated = ["-I"] if sys.flags.isolated else []
        self.process = subprocess.Popen(  # noqa: S603 - fixed words, no shell
            [sys.executable, *isolated, "-m", _ENGINE_MODULE, str(child_socket.fileno())],
            pass_fds=[child_socket.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={
                **{k: v for k, v in os.environ.items() if not k.startswith(_SCRUBBED_ENV)},
                "PYTHONPATH": str(_PROJECT_ROOT),
                "PYTHONUNBUFFERED": "1",
            },
        )
        child_socket.close()
        self.socket = parent_socket
        _raise_oom_score(self.process.pid)

    def discard(self) -> None:
        """Kill and reap the process, unused."""
        self.socket.close()
        self.process.kill()
        self.process.wait()
        if self.process.stderr is not None:
            self.process.stderr.close()


def _raise_oom_score(pid: int) -> None:
    """Make the OOM killer prefer the engine over the process that would restart it.

    Set right after the spawn: while the engine still imports, it is the smaller process.
    """
    score = Path(f"/proc/{pid}/oom_score_adj")
    with contextlib.suppress(OSError, ValueError):
        score.write_text(str(min(int(score.read_text()) + _OOM_SCORE_OFFSET, _OOM_SCORE_MAX)))
