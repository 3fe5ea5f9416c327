"""Owns the time to first token of a new conversation whose system prompt an earlier one had."""

from __future__ import annotations

import time

from scripts.benchmark.chat import QUESTIONS, ask_under, end_token_bias, prompt_counts, random_text
from scripts.benchmark.console import say
from scripts.benchmark.http_client import HttpClient
from scripts.benchmark.measurements.prefix import ANSWER_TOKENS, PREFIX_TOKENS
from scripts.benchmark.plan import Plan
from scripts.benchmark.results import Result, Target
from scripts.benchmark.streamed import Streamed

_WARM_UP_TOKENS = 60
_SETTLE_S = 0.5  # for what a server does after an answer
_AGAINST_PEER = Target(1.0, of="ratio")
_AGAINST_COLD = Target(0.06, of="ratio")


def measure(plan: Plan) -> list[Result]:
    """Ask both servers a question under a fresh system prompt, then both another one.

    They take turns in being first.

    Raises:
        BenchFailed: there is no peer.
    """
    answers: dict[str, list[list[Streamed]]] = {"ours": [], "peer": []}
    with plan.both_servers() as (ours, peer):
        bias = end_token_bias(ours.client, plan.speed_model())
        clients = {"ours": ours.client, "peer": peer.client}
        for repeat in range(-1, plan.n_repeats):
            n_tokens = PREFIX_TOKENS if repeat >= 0 else _WARM_UP_TOKENS
            system = random_text(ours.client, n_tokens)
            order = list(clients) if repeat % 2 else list(clients)[::-1]
            told = _ask_in_turn({name: clients[name] for name in order}, system, bias)
            if repeat < 0:  # the first turn warms up
                continue
            for name, samples in answers.items():
                samples.append(told[name])
                cold, warm = told[name]
                shown = f"{cold.ttft_ms:.0f}, then {warm.ttft_ms:.0f} ms"
                say(f"shared {repeat + 1}/{plan.n_repeats}: {name} {shown}")
    return _results(answers["ours"], answers["peer"], peer.name)


def _ask_in_turn(
    clients: dict[str, HttpClient], system: str, bias: dict[str, float]
) -> dict[str, list[Streamed]]:
    """Return each server's answers to the two questions."""
    told: dict[str, list[Streamed]] = {name: [] for name in clients}
    for question in QUESTIONS:
        for name, client in clients.items():
            time.sleep(_SETTLE_S)
            answer = ask_under(client, system, question, ANSWER_TOKENS, logit_bias=bias)
            told[name].append(answer)
    return told


def _results(
    ours: list[list[Streamed]], peer: list[list[Streamed]], peer_name: str
) -> list[Result]:
    ours_cold, ours_warm = ([each.ttft_ms for each in side] for side in zip(*ours, strict=True))
    peer_cold, peer_warm = ([each.ttft_ms for each in side] for side in zip(*peer, strict=True))
    counts = [prompt_counts(side[-1][1]) for side in (ours, peer)]
    note = f"second conversation; prompt tokens, ours and peer: {' and '.join(counts)}"
    return [
        Result("shared", "ms", ours_warm, _AGAINST_PEER, peer_warm, peer_name, [note]),
        Result("shared, of cold", "ms", ours_warm, _AGAINST_COLD, ours_cold, "ours, cold"),
        Result("shared, peer's", "ms", peer_warm, None, peer_cold, f"{peer_name}, cold"),
    ]
