"""Owns what published packages carry inside, as vendored.toml says; no lock names it."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from scripts.supply_chain.locks import read_lock

_FILE = Path(__file__).with_name("vendored.toml")


@dataclass(frozen=True, slots=True)
class Part:
    """A library inside a package.

    Args:
        inside: the package.
        of: the package's version that was looked at; empty where any will do.
    """

    inside: str
    name: str
    licence: str
    source: str
    of: str = ""
    version: str = ""
    commit: str = ""


def vendored_parts(file: Path = _FILE) -> list[Part]:
    """Return all parts.

    Raises:
        LookupError: a part was looked at in another version of its package than the lock has.
    """
    parts = [Part(**table) for table in tomllib.loads(file.read_text())["part"]]
    locked: dict[str, list[str]] = {}
    for pin in read_lock():
        locked.setdefault(pin.name, []).append(pin.version)
    for part in parts:
        versions = locked.get(part.inside, [])
        if not versions or (part.of and part.of not in versions):
            raise LookupError(
                f"vendored.toml: {part.name} was looked at in {part.inside} {part.of}, "
                f"the lock has {', '.join(versions) or 'none'}"
            )
    return parts
