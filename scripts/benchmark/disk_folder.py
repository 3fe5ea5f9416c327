"""Owns folders on a disk for the time of a measurement."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts.benchmark.random_model import cache_folder


@contextmanager
def disk_folder() -> Iterator[Path]:
    """Make a folder beside the benchmark's models and remove it afterwards.

    The folder for temporary files is memory on many systems, which writes faster than any disk.
    """
    cache_folder().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".work-", dir=cache_folder()) as folder:
        yield Path(folder)
