"""Owns `python -m scripts.template_table FOLDER FILE`, which `scripts/templates` calls."""

from __future__ import annotations

import sys
from pathlib import Path

from scripts.template_table.table import page


def main(folder: str, target: str) -> None:
    paths = sorted(Path(folder).glob("*.jinja"))
    if not paths:
        sys.exit(f"error: there is no *.jinja in {folder}.")
    Path(target).write_text(page(paths), encoding="utf-8")
    print(f"{target}: {len(paths)} templates")


if __name__ == "__main__":
    main(*sys.argv[1:])
