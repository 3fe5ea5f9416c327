"""Owns the time from exec of the server to a healthy answer, with the small model."""

from __future__ import annotations

from scripts.benchmark.console import say
from scripts.benchmark.plan import Plan
from scripts.benchmark.results import Result, Target


def measure(plan: Plan) -> list[Result]:
    """Start the server again and again; the first start fills the disk cache and is left out."""
    samples: list[float] = []
    for repeat in range(plan.n_repeats + 1):
        with plan.small_server() as server:
            if repeat:
                samples.append(server.start_ms)
                say(f"startup {repeat}/{plan.n_repeats}: {server.start_ms:.0f} ms")
    note = f"exec to the first 200 of /health with {plan.small_model.name}, files in the disk cache"
    return [Result("startup", "ms", samples, Target(1500, of="ours"), notes=[note])]
