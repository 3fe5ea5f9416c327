"""Owns what a token costs us outside llama.cpp: CPU time of both processes, with a fake engine."""

from __future__ import annotations

from scripts.benchmark.chat import ask
from scripts.benchmark.console import say
from scripts.benchmark.plan import Plan
from scripts.benchmark.processes import cpu_ms
from scripts.benchmark.results import Result, Target
from scripts.benchmark.server import ServerUnderTest

_TOKENS = 1000
_PACED_STEP_MS = 3.0  # long enough that the HTTP process is idle when the next token comes
_TARGET = Target(0.15, of="ours")


def measure(plan: Plan) -> list[Result]:
    """Let one stream run, first with a pause before every token, then with none."""
    rows = []
    for step_ms, name in ((_PACED_STEP_MS, "overhead"), (0.0, "at once")):
        engine: list[float] = []
        http: list[float] = []
        speed = 0.0
        with plan.fake_server(step_ms) as server:
            _cost(server, step_ms)
            for repeat in range(plan.n_repeats):
                engine_ms, http_ms, speed = _cost(server, step_ms)
                engine.append(engine_ms)
                http.append(http_ms)
                say(
                    f"{name} {repeat + 1}/{plan.n_repeats}: engine {engine_ms:.4f} ms, "
                    f"HTTP {http_ms:.4f} ms a token, {speed:,.0f} tok/s"
                )
        both = [sum(pair) for pair in zip(engine, http, strict=True)]
        note = f"{step_ms:g} ms of computing before every token, {speed:,.0f} tok/s"
        target = _TARGET if step_ms else None
        rows += [
            Result(name, "ms/token", both, target, notes=[note]),
            Result(f"{name}: engine", "ms/token", engine),
            Result(f"{name}: HTTP", "ms/token", http),
        ]
    return rows


def _cost(server: ServerUnderTest, step_ms: float) -> tuple[float, float, float]:
    """Return the CPU time of the engine and of the HTTP process, in ms a token, and tokens/s.

    The engine's is without the step that it pretends to compute.
    """
    http_pid, engine_pid = server.pids()
    before = cpu_ms(engine_pid), cpu_ms(http_pid)
    answer = ask(server.client, "Tell me a long story.", _TOKENS)
    after = cpu_ms(engine_pid), cpu_ms(http_pid)
    engine, http = ((end - begin) / _TOKENS for begin, end in zip(before, after, strict=True))
    return engine - step_ms, http, answer.tokens_per_s
