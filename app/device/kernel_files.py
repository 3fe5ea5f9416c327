"""Owns reading files in /proc and /sys; what cannot be read is empty or None."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Cgroup:
    """A control group that limits memory.

    Args:
        version: 1 or 2; their files have different names.
        folder: the folder of its files.
    """

    version: int
    folder: Path


def own_cgroups(root: Path) -> Iterator[Cgroup]:
    """Yield the memory cgroups of this process, innermost first, up to the root.

    Args:
        root: the folder that contains proc and sys.
    """
    for line in text(root / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            for folder in _with_parents(root / "sys/fs/cgroup", path):
                yield Cgroup(2, folder)
        elif "memory" in controllers.split(","):
            for folder in _with_parents(root / "sys/fs/cgroup/memory", path):
                yield Cgroup(1, folder)


def _with_parents(mount: Path, path: str) -> Iterator[Path]:
    """Yield the cgroup's folder and its parents, the mount point last."""
    parts = [part for part in path.split("/") if part not in ("", ".", "..")]
    for depth in range(len(parts), -1, -1):
        yield mount.joinpath(*parts[:depth])


def text(path: Path) -> str:
    """Return a file's stripped content; empty if it cannot be read."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def number(path: Path) -> int | None:
    """Return the number in a file; None if it holds none ("max" is no limit)."""
    found = text(path)
    return int(found) if found.removeprefix("-").isdecimal() else None


def fields(path: Path) -> dict[str, int]:
    """Return the `name number` or `name: number kB` lines of a file."""
    found = {}
    for line in text(path).splitlines():
        words = line.replace(":", " ").split()
        if len(words) >= 2 and words[1].isdecimal():
            found[words[0]] = int(words[1])
    return found


def memory_total_bytes(root: Path = Path("/")) -> int | None:
    """Return the machine's memory; None if /proc/meminfo lacks it."""
    total = fields(root / "proc/meminfo").get("MemTotal")
    return None if total is None else total * 1024
