"""Owns what shows the settings: deploy/config.toml and the tables of docs/configuration.md.

Run by `scripts/config-file`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from scripts.config_file.page import page
from scripts.config_file.tables import with_tables

ROOT = Path(__file__).resolve().parents[2]


def main(arguments: list[str]) -> int:
    """Write the files, or with `--check` say which are not what would be written."""
    docs = ROOT / "docs" / "configuration.md"
    wanted = {ROOT / "deploy" / "config.toml": page(), docs: with_tables(docs.read_text())}
    stale = [
        path for path, text in wanted.items() if not path.is_file() or path.read_text() != text
    ]
    for path in stale:
        if "--check" in arguments:
            print(
                f"{path.relative_to(ROOT)} does not show the settings any more: "
                "run scripts/config-file"
            )
        else:
            path.write_text(wanted[path])
    return int(bool(stale) and "--check" in arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
