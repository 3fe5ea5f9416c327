"""Owns the memory of the server's processes with the small model, after one answer."""

from __future__ import annotations

from scripts.benchmark.chat import CHAT_PATH, chat_body
from scripts.benchmark.console import say
from scripts.benchmark.plan import Plan
from scripts.benchmark.process_memory import memory_mb
from scripts.benchmark.results import Result, Target

_MESSAGES = [{"role": "user", "content": "What is the capital of France?"}]


def measure(plan: Plan) -> list[Result]:
    """Ask one question in each repeat and add up all processes of the server."""
    resident: list[float] = []
    proportional: list[float] = []
    n_processes = 0
    for repeat in range(plan.n_repeats):
        with plan.small_server() as server:
            server.client.stream(CHAT_PATH, chat_body(_MESSAGES, max_tokens=32))
            pids = server.pids()
            n_processes = len(pids)
            rss_mb, pss_mb = memory_mb(pids)
        resident.append(rss_mb)
        proportional.append(pss_mb)
        say(f"memory {repeat + 1}/{plan.n_repeats}: {rss_mb:.0f} MB, shared once {pss_mb:.0f} MB")
    note = f"{n_processes} processes after one answer of {plan.small_model.name}"
    return [
        Result("memory (RSS)", "MB", resident, Target(150, of="ours"), notes=[note]),
        Result("memory (PSS)", "MB", proportional, notes=["pages that processes share count once"]),
    ]
