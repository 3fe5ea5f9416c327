"""Owns reading scripts/locks: names, versions, hashes, and for which Python each is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ROOT / "scripts" / "locks"
PYTHONS = ("3.11", "3.12", "3.13")

_PIN = re.compile(r"^([a-z0-9][a-z0-9._-]*)==(\S+)(?: ; (.+?))? \\$")
_HASH = re.compile(r"^    --hash=sha256:([0-9a-f]{64})( \\)?$")
_PYTHON = re.compile(r"python_full_version (<|>=) '3\.(\d+)'")
# What is the same for every device: CPython on Linux.
_ALWAYS = ("implementation_name == 'cpython'", "sys_platform != 'win32'")


@dataclass(frozen=True, slots=True)
class Pin:
    """A package in a lock.

    Args:
        hashes: SHA-256 of each file that it is published as.
        condition: where it is installed, as in the lock; empty is everywhere.
    """

    name: str
    version: str
    hashes: tuple[str, ...]
    condition: str = ""

    @property
    def purl(self) -> str:
        """The package's name in SBOMs and advisories."""
        return f"pkg:pypi/{self.name}@{self.version}"

    def is_for(self, python: str) -> bool:
        """Return whether a device with this Python gets it.

        Raises:
            ValueError: the condition is none of those that are known here.
        """
        return all(_holds(part, int(python.split(".")[1])) for part in self._conditions())

    def _conditions(self) -> list[str]:
        return self.condition.split(" and ") if self.condition else []


def _holds(condition: str, minor: int) -> bool:
    if condition in _ALWAYS:
        return True
    if match := _PYTHON.fullmatch(condition):
        return minor < int(match[2]) if match[1] == "<" else minor >= int(match[2])
    raise ValueError(f"a lock has a condition that is not known here: {condition}")


def read_lock(name: str = "runtime", folder: Path = LOCKS) -> list[Pin]:
    """Return the packages of a lock, in its order.

    Raises:
        ValueError: a line is neither a package nor a hash.
    """
    pins: list[Pin] = []
    for line in (folder / f"{name}.txt").read_text().splitlines():
        if match := _PIN.match(line):
            pins.append(Pin(match[1], match[2], (), match[3] or ""))
        elif (match := _HASH.match(line)) and pins:
            last = pins[-1]
            pins[-1] = Pin(last.name, last.version, (*last.hashes, match[1]), last.condition)
        else:
            raise ValueError(f"{name}.txt: neither a package nor a hash: {line}")
    return pins
