"""The root belongs to one service."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from app.promptcache import FolderInUse, FolderLock

HOLDER = """
import sys
from pathlib import Path
from app.promptcache import FolderLock
lock = FolderLock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_lock_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    root = tmp_path / "cache"
    command = [sys.executable, "-c", HOLDER, str(root)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(FolderInUse) as caught:
            FolderLock(root)
        assert caught.value.pid == holder.pid
        assert str(caught.value) == (
            f"The prompt cache in {root} is in use by process {holder.pid}."
        )
        holder.kill()
        holder.wait(10)
        FolderLock(root).release()


def test_a_lock_that_is_given_back_can_be_taken(tmp_path: Path) -> None:
    with FolderLock(tmp_path), pytest.raises(FolderInUse):
        FolderLock(tmp_path)
    lock = FolderLock(tmp_path)
    lock.release()
    lock.release()


def test_a_link_in_the_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / ".lock").symlink_to(victim)
    with pytest.raises(OSError, match="symbolic"):
        FolderLock(tmp_path)
    assert victim.read_text() == "mine"
