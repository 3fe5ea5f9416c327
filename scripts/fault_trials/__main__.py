"""Owns `python -m scripts.fault_trials`, which `scripts/faults` calls."""

from __future__ import annotations

import sys

from scripts.fault_trials.cli import main

if __name__ == "__main__":
    sys.exit(main())
