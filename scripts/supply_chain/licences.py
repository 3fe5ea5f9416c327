"""Owns docs/licences.md: the licence of every package that devices get, from its own metadata."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

from scripts.supply_chain.locks import PYTHONS, ROOT, Pin, read_lock
from scripts.supply_chain.vendored import Part, vendored_parts

FILE = ROOT / "docs" / "licences.md"
# Where the metadata is unclear: what the package's own licence file says.
_FROM_FILES = {
    "html5tagger": "Unlicense",
    "jinja2": "BSD-3-Clause",
    "tracerite": "LicenseRef-Public-Domain",
    "uvloop": "MIT OR Apache-2.0",
}
_OTHER_WORDS = {
    "Apache 2.0": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "MIT License": "MIT",
}
_ROW = re.compile(r"^\| ([a-z0-9._-]+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
_HEAD = """\
# Licences

Of everything that the package carries, by the packages' own metadata, as SPDX expressions, written
by `scripts/licences`. The service itself and its bundled model are MIT. Why each package is here:
[dependencies.md](dependencies.md).

## Python packages

| package | version | licence |
|---|---|---|
"""
_VENDORED = """
## What these carry inside

| part | in | licence | source |
|---|---|---|---|
"""


def page() -> str:
    """Return the whole page.

    Raises:
        LookupError: a package is not installed in the locked version, or has no clear licence.
    """
    rows = [
        f"| {name} | {', '.join(versions)} | {_licence(name, versions)} |"
        for name, versions in _versions(read_lock()).items()
    ]
    parts = [_part_row(part) for part in vendored_parts()]
    return _HEAD + "\n".join(rows) + "\n" + _VENDORED + "\n".join(parts) + "\n"


def licences(file: Path = FILE) -> dict[str, str]:
    """Return the licence of each package, by name, as the page has it.

    Raises:
        LookupError: the page does not show the packages of the lock.
    """
    found = {match[1]: match for match in _ROW.finditer(file.read_text())}
    for name, versions in _versions(read_lock()).items():
        if name not in found or found[name][2] != ", ".join(versions):
            raise LookupError(f"docs/licences.md does not show {name} {', '.join(versions)}")
    return {name: match[3] for name, match in found.items()}


def _versions(pins: list[Pin]) -> dict[str, list[str]]:
    versions: dict[str, list[str]] = {}
    for pin in pins:
        if any(pin.is_for(python) for python in PYTHONS):
            versions.setdefault(pin.name, []).append(pin.version)
    return versions


def _licence(name: str, versions: list[str]) -> str:
    found = metadata.metadata(name)
    if found["Version"] not in versions:
        raise LookupError(f"{name} {found['Version']} is installed, the lock has another")
    stated = next((found[key] for key in ("License-Expression", "License") if key in found), "")
    licence = _FROM_FILES.get(name) or _OTHER_WORDS.get(stated, stated)
    if not re.fullmatch(r"[A-Za-z0-9.+-]+( (AND|OR|WITH) [A-Za-z0-9.+-]+)*", licence):
        raise LookupError(f"the metadata of {name} has no clear licence: '{stated[:60]}'")
    return licence


def _part_row(part: Part) -> str:
    name = f"{part.name} {part.version}".strip()
    return f"| {name} | {part.inside} | {part.licence} | {part.source} |"
