"""Owns what the first constraint of a process costs; run as `python -m`, for each sample anew.

Prints one line of JSON: what it took to load the model, to build the tokenizer, to compile the
grammar of calls of five tools, and to get it again; and the memory that the building added.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from app.protocol import LoadParams
from scripts.benchmark.engine_parts import EngineParts, call_command
from scripts.benchmark.process_memory import memory_mb
from scripts.benchmark.structured_tasks import TOOLS


def main(path: Path) -> None:
    """Measure with a model and print the figures."""
    loaded: list[EngineParts] = []
    figures = {"load_ms": _ms(lambda: loaded.append(EngineParts(path, LoadParams(n_ctx=1024))))}
    parts = loaded[0]
    before_mb, _ = memory_mb([os.getpid()])
    figures["build_ms"] = _ms(lambda: parts.planner)
    after_mb, _ = memory_mb([os.getpid()])
    figures["build_mb"] = after_mb - before_mb
    figures["first_ms"] = _ms(lambda: parts.plan(call_command(TOOLS)))
    figures["again_ms"] = _ms(lambda: parts.plan(call_command(TOOLS)))
    print(json.dumps(figures))


def _ms(work: Callable[[], object]) -> float:
    began_s = time.perf_counter()
    work()
    return (time.perf_counter() - began_s) * 1000.0


if __name__ == "__main__":
    main(Path(sys.argv[1]))
