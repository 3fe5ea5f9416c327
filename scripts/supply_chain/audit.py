"""Owns looking for known vulnerabilities of the locked packages in advisories that lie on disk.

Advisories are OSV's (https://ossf.github.io/osv-schema/), one JSON file each, in a folder or a zip
such as OSV's all.zip of PyPI. Nothing is downloaded here.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version

from scripts.supply_chain.locks import Pin

_ECOSYSTEM = "PyPI"


@dataclass(frozen=True, slots=True)
class Finding:
    """An advisory that a locked package falls under."""

    package: str
    version: str
    id: str
    aliases: tuple[str, ...]
    summary: str
    fixed_in: tuple[str, ...]


def advisories(data: Path) -> Iterator[dict[str, Any]]:
    """Yield every advisory of a folder or a zip that was not withdrawn.

    Raises:
        OSError: there is none, or it cannot be read.
        ValueError: a file is no advisory.
    """
    for text in _texts(data):
        advisory = json.loads(text)
        if not isinstance(advisory, dict) or "affected" not in advisory:
            raise ValueError(f"{data}: a file in it is no advisory in OSV's format")
        if not advisory.get("withdrawn"):
            yield advisory


def _texts(data: Path) -> Iterator[bytes]:
    if data.is_dir():
        for file in sorted(data.rglob("*.json")):
            yield file.read_bytes()
        return
    try:
        archive = zipfile.ZipFile(data)
    except zipfile.BadZipFile as error:
        raise ValueError(str(error)) from error
    with archive:
        for name in sorted(archive.namelist()):
            if name.endswith(".json"):
                yield archive.read(name)


def find(pins: list[Pin], known: Iterator[dict[str, Any]]) -> tuple[list[Finding], int]:
    """Return what is known against the packages, and how many advisories were looked at."""
    by_name: dict[str, set[str]] = {}
    for pin in pins:
        by_name.setdefault(_canonical(pin.name), set()).add(pin.version)
    found: list[Finding] = []
    count = 0
    for advisory in known:
        count += 1
        for affected in advisory["affected"]:
            package = affected.get("package", {})
            name = _canonical(package.get("name", ""))
            if package.get("ecosystem") != _ECOSYSTEM or name not in by_name:
                continue
            found += [
                _finding(name, version, advisory, affected)
                for version in sorted(by_name[name])
                if is_affected(version, affected)
            ]
    return sorted(set(found), key=lambda finding: (finding.package, finding.id)), count


def is_affected(version: str, affected: dict[str, Any]) -> bool:
    """Return whether a version is among those that an advisory names or spans."""
    if version in affected.get("versions", ()):
        return True
    ranges = [found for found in affected.get("ranges", ()) if found["type"] == "ECOSYSTEM"]
    return any(_spans(version, found["events"]) for found in ranges)


def _spans(version: str, events: list[dict[str, str]]) -> bool:
    """Return whether the last event at or before the version is its introduction."""
    ours = Version(version)
    is_inside = False
    for kind, at in sorted(
        ((kind, at) for event in events for kind, at in event.items()), key=_order
    ):
        point = _version(at)
        if kind == "introduced" and point <= ours:
            is_inside = True
        elif (kind == "fixed" and point <= ours) or (kind == "last_affected" and point < ours):
            is_inside = False
    return is_inside


def _order(event: tuple[str, str]) -> tuple[Version, bool]:
    return _version(event[1]), event[0] == "introduced"


def _version(text: str) -> Version:
    try:
        return Version(text)
    except InvalidVersion:
        return Version("0")


def _finding(
    name: str, version: str, advisory: dict[str, Any], affected: dict[str, Any]
) -> Finding:
    fixed = {
        event["fixed"]
        for span in affected.get("ranges", ())
        if span["type"] == "ECOSYSTEM"
        for event in span["events"]
        if "fixed" in event
    }
    return Finding(
        package=name,
        version=version,
        id=advisory["id"],
        aliases=tuple(advisory.get("aliases", ())),
        summary=advisory.get("summary") or str(advisory.get("details", ""))[:120],
        fixed_in=tuple(sorted(fixed)),
    )


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
