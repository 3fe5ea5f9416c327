"""Owns what a known prefix saves: time to first token cold, and again with another question."""

from __future__ import annotations

from scripts.benchmark.chat import ask_two, end_token_bias, prompt_counts, random_text
from scripts.benchmark.console import say
from scripts.benchmark.plan import Plan
from scripts.benchmark.results import Result, Target

PREFIX_TOKENS = 600
ANSWER_TOKENS = 4


def measure(plan: Plan) -> list[Result]:
    """Send two questions under a fresh system prompt in each repeat; the first one is cold."""
    warm: list[float] = []
    cold: list[float] = []
    note = ""
    model = plan.speed_model()
    with plan.speed_server() as server:
        bias = end_token_bias(server.client, model)
        for repeat in range(-1, plan.n_repeats):
            system = random_text(server.client, PREFIX_TOKENS if repeat >= 0 else 60)
            first, second = ask_two(server.client, system, ANSWER_TOKENS, logit_bias=bias)
            if repeat < 0:  # the first pair warms up
                continue
            cold.append(first.ttft_ms)
            warm.append(second.ttft_ms)
            counts = f"cold: {prompt_counts(first)}, warm: {prompt_counts(second)}"
            note = f"{model.name}; prompt tokens, {counts}"
            say(f"prefix {repeat + 1}/{plan.n_repeats}: {cold[-1]:.0f}, then {warm[-1]:.0f} ms")
    target = Target(0.08, of="ratio")
    return [Result("prefix", "ms", warm, target, peer=cold, peer_name="cold", notes=[note])]
