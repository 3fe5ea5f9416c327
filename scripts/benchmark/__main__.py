"""Owns `python -m scripts.benchmark`, which `scripts/bench` calls."""

from __future__ import annotations

import sys

from scripts.benchmark.cli import main

if __name__ == "__main__":
    sys.exit(main())
