"""Owns deploy/config.toml, the settings file of the package; run by `scripts/config-file`."""

from __future__ import annotations

import sys
from pathlib import Path

from scripts.config_file.page import page

FILE = Path(__file__).resolve().parents[2] / "deploy" / "config.toml"


def main(arguments: list[str]) -> int:
    """Write the file, or with `--check` say whether it is what would be written."""
    if "--check" not in arguments:
        FILE.write_text(page())
        return 0
    if FILE.is_file() and FILE.read_text() == page():
        return 0
    print(
        "deploy/config.toml does not show app/config/settings.py any more: run scripts/config-file"
    )
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
