"""Owns the time to ready and the memory of a fresh server against llama-server, same model."""

from __future__ import annotations

from collections.abc import Callable

from scripts.benchmark.chat import ask, end_token_bias
from scripts.benchmark.console import BenchFailed, say
from scripts.benchmark.peer_server import LlamaServer
from scripts.benchmark.plan import Plan
from scripts.benchmark.process_memory import memory_mb
from scripts.benchmark.results import Result, Target
from scripts.benchmark.server import ServerUnderTest

_ANSWER_TOKENS = 16
_MEMORY = Target(110, of="difference")

_Start = Callable[[], ServerUnderTest | LlamaServer]


def measure(plan: Plan) -> list[Result]:
    """Start each server anew in every repeat, one at a time; the first pair is left out.

    Raises:
        BenchFailed: there is no llama-server here.
    """
    if plan.peer_url is not None:
        raise BenchFailed("start and memory of a server at a URL cannot be seen: use llama-server")
    starts: tuple[list[float], list[float]] = ([], [])
    resident: tuple[list[float], list[float]] = ([], [])
    proportional: tuple[list[float], list[float]] = ([], [])
    bias: dict[str, float] = {}
    servers: tuple[_Start, _Start] = (plan.speed_server, plan.llama_server_here)
    for repeat in range(-1, plan.n_repeats):
        for side, start in enumerate(servers):
            with start() as server:
                bias = bias or end_token_bias(server.client, plan.speed_model())
                ask(server.client, "Tell me a long story.", _ANSWER_TOKENS, logit_bias=bias)
                rss_mb, pss_mb = memory_mb(server.pids())
                start_ms = server.start_ms
            if repeat >= 0:  # the first pair fills the disk cache
                starts[side].append(start_ms)
                resident[side].append(rss_mb)
                proportional[side].append(pss_mb)
                times = f"{start_ms:.0f} ms, {rss_mb:.0f} MB"
                say(f"footprint {repeat + 1}/{plan.n_repeats}: {('ours', 'peer')[side]} {times}")
    note = f"one answer of {plan.speed_model().name}, {plan.n_ctx} tokens of context"
    return [
        Result("ready", "ms", starts[0], None, starts[1], "llama-server"),
        Result("resident", "MB", resident[0], _MEMORY, resident[1], "llama-server", [note]),
        Result("proportional", "MB", proportional[0], None, proportional[1], "llama-server"),
    ]
