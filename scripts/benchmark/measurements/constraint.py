"""Owns what grammars take of time and memory before they are used: compiling, the tokenizer."""

from __future__ import annotations

import json
import subprocess
import sys

from scripts.benchmark.console import BenchFailed, say
from scripts.benchmark.plan import Plan
from scripts.benchmark.processes import clean_environment
from scripts.benchmark.results import Result, Target

_TIMEOUT_S = 300.0
_COMPILE = Target(20, of="ours")


def measure(plan: Plan) -> list[Result]:
    """Take each sample in a process of its own, as an engine does all of this once."""
    samples = [_sample(plan) for _ in range(-1, plan.n_repeats)][
        1:
    ]  # the first fills the disk cache
    column = {name: [sample[name] for sample in samples] for name in samples[0]}
    what = (
        "the grammar for a call of one of five tools, from their schemas to the first mask's state"
    )
    where = f"of {plan.speed_model().name}, once in the life of an engine"
    return [
        Result("compile", "ms", column["first_ms"], _COMPILE, notes=[what]),
        Result("compile, again", "ms", column["again_ms"], _COMPILE),
        Result("tokenizer", "ms", column["build_ms"], None, column["load_ms"], "loading", [where]),
        Result("tokenizer, memory", "MB", column["build_mb"]),
    ]


def _sample(plan: Plan) -> dict[str, float]:
    command = [sys.executable, "-s", "-m", "scripts.benchmark.fresh_constraint"]
    done = subprocess.run(
        [*command, str(plan.speed_model())],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        raise BenchFailed("the process that compiles a grammar failed", done.stderr[-2000:])
    figures: dict[str, float] = json.loads(done.stdout)
    say("constraint: " + ", ".join(f"{name} {value:.1f}" for name, value in figures.items()))
    return figures
