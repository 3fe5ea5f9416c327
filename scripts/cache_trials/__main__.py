"""Owns `python -m scripts.cache_trials`, which `scripts/cache-trials` calls."""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import NoReturn

from scripts.cache_trials.cli import main


def _end(_signal: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(143)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _end)  # as an exception, so that no server is left behind
    sys.exit(main())
