"""Owns the commands: `sbom`, `licences`, `audit`; run by the scripts of these names."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from scripts.supply_chain.locks import LOCKS, PYTHONS, Pin, read_lock

EXIT_FINE = 0
EXIT_FOUND = 1
EXIT_NOT_DONE = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status."""
    parser = argparse.ArgumentParser(prog="supply_chain")
    commands = parser.add_subparsers(dest="command", required=True)
    bill = commands.add_parser("sbom")
    bill.add_argument("--python", choices=PYTHONS, default=PYTHONS[0])
    bill.add_argument("--out", type=Path)
    commands.add_parser("licences").add_argument("--check", action="store_true")
    commands.add_parser("audit").add_argument("--data", type=Path)
    options = parser.parse_args(arguments)
    try:
        match options.command:
            case "sbom":
                return _sbom(options.python, options.out)
            case "licences":
                return _licences(check=options.check)
            case _:
                return _audit(options.data)
    except LookupError as error:
        print(f"{error}: run scripts/licences, and see scripts/supply_chain/vendored.toml")
        return EXIT_FOUND


def _sbom(python: str, out: Path | None) -> int:
    from scripts.supply_chain.sbom import sbom

    text = sbom(python)
    if out:
        out.write_text(text)
    else:
        sys.stdout.write(text)
    return EXIT_FINE


def _licences(*, check: bool) -> int:
    from scripts.supply_chain.licences import FILE, page

    if not check:
        FILE.write_text(page())
        return EXIT_FINE
    if FILE.is_file() and FILE.read_text() == page():
        return EXIT_FINE
    print("docs/licences.md does not show the locked packages any more: run scripts/licences")
    return EXIT_FOUND


def _audit(data: Path | None) -> int:
    from scripts.supply_chain.audit import advisories, find

    if data is None:
        print("NOT CHECKED: no advisories were given, so nothing is known of vulnerabilities.")
        print("Give OSV's data for PyPI: scripts/audit --data all.zip")
        return EXIT_NOT_DONE
    pins: list[Pin] = [pin for lock in sorted(LOCKS.glob("*.txt")) for pin in read_lock(lock.stem)]
    try:
        found, count = find(pins, advisories(data))
    except (OSError, ValueError) as error:
        print(f"NOT CHECKED: {data} cannot be used: {error}")
        return EXIT_NOT_DONE
    if not count:
        print(f"NOT CHECKED: {data} holds no advisory.")
        return EXIT_NOT_DONE
    for finding in found:
        names = ", ".join((finding.id, *finding.aliases))
        fixed = f"; fixed in {', '.join(finding.fixed_in)}" if finding.fixed_in else "; no fix"
        print(f"{finding.package} {finding.version}: {names}: {finding.summary}{fixed}")
    packages = len({(pin.name, pin.version) for pin in pins})
    print(f"{len(found)} findings; {count} advisories against {packages} locked packages.")
    return EXIT_FOUND if found else EXIT_FINE


if __name__ == "__main__":
    sys.exit(main())
