"""Owns the list of measurements; each is a file here with a `measure` function.

To add one: write the file, name it below. `measure` gets the plan of the run and returns rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from scripts.benchmark.measurements import decode, memory, prefix, startup, stop
from scripts.benchmark.plan import Plan
from scripts.benchmark.results import Result


@dataclass(frozen=True)
class Measurement:
    """A thing that `scripts/bench run` measures.

    Attributes:
        text: what it measures, in a few words.
        measure: takes the figures; raises `BenchFailed` where it cannot.
    """

    text: str
    measure: Callable[[Plan], list[Result]]


# The cost per token outside llama.cpp, with a backend that answers at once, gets its place here.
MEASUREMENTS = {
    "decode": Measurement("tokens per second of one stream, against llama-bench", decode.measure),
    "prefix": Measurement("time to first token with a prefix seen before", prefix.measure),
    "startup": Measurement("time from exec to healthy, small model", startup.measure),
    "memory": Measurement("memory of both processes, small model", memory.measure),
    "stop": Measurement("time from SIGTERM to exit when idle, small model", stop.measure),
}
