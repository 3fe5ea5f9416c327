"""Owns the time to first token against another server, cold and with a prefix seen before."""

from __future__ import annotations

from scripts.benchmark.chat import ask_two, end_token_bias, prompt_counts, random_text
from scripts.benchmark.console import say
from scripts.benchmark.measurements.prefix import ANSWER_TOKENS, PREFIX_TOKENS
from scripts.benchmark.plan import Plan
from scripts.benchmark.results import Result, Target
from scripts.benchmark.streamed import Streamed

_TARGETS = {"ttft cold": Target(1.05, of="ratio"), "ttft warm": Target(1.0, of="ratio")}


def measure(plan: Plan) -> list[Result]:
    """Send each server the same two questions under a system prompt that neither has seen.

    Raises:
        BenchFailed: there is no peer.
    """
    times: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in _TARGETS}
    notes = dict.fromkeys(_TARGETS, "")
    with plan.both_servers() as (ours, peer):
        bias = end_token_bias(ours.client, plan.speed_model())
        for repeat in range(-1, plan.n_repeats):
            system = random_text(ours.client, PREFIX_TOKENS if repeat >= 0 else 60)
            mine = ask_two(ours.client, system, ANSWER_TOKENS, logit_bias=bias)
            theirs = ask_two(peer.client, system, ANSWER_TOKENS, logit_bias=bias)
            if repeat < 0:  # the first pair warms up
                continue
            for name, answers in zip(_TARGETS, zip(mine, theirs, strict=True), strict=True):
                for samples, answer in zip(times[name], answers, strict=True):
                    samples.append(answer.ttft_ms)
                notes[name] = f"prompt tokens, ours and peer: {_counts(answers)}"
                shown = " and ".join(f"{answer.ttft_ms:.0f}" for answer in answers)
                say(f"{name} {repeat + 1}/{plan.n_repeats}: {shown} ms")
    return [
        Result(name, "ms", mine_ms, _TARGETS[name], theirs_ms, peer.name, [notes[name]])
        for name, (mine_ms, theirs_ms) in times.items()
    ]


def _counts(answers: tuple[Streamed, Streamed]) -> str:
    return " and ".join(map(prompt_counts, answers))
