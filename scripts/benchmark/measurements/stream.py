"""Owns decode speed of one stream over HTTP against another server, at two lengths of context."""

from __future__ import annotations

from scripts.benchmark.chat import ask, end_token_bias, prompt_counts, random_text
from scripts.benchmark.console import say
from scripts.benchmark.measurements.decode import LONG_TOKENS, SHORT_TEXT
from scripts.benchmark.plan import Plan
from scripts.benchmark.results import Result, Target

_TARGET = Target(1.0, of="ratio", is_lower_bound=True)


def measure(plan: Plan) -> list[Result]:
    """Ask ours and the peer in turn; both know the prompts already.

    Raises:
        BenchFailed: there is no peer, or an answer ended early.
    """
    names = ("stream", "stream (2k)")
    speeds: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in names}
    notes = dict.fromkeys(names, "")
    with plan.both_servers() as (ours, peer):
        clients = (ours.client, peer.client)
        bias = end_token_bias(ours.client, plan.speed_model())
        texts = dict(zip(names, (SHORT_TEXT, random_text(ours.client, LONG_TOKENS)), strict=True))
        for text in texts.values():
            for client in clients:
                ask(client, text, 16, logit_bias=bias)
        for repeat in range(plan.n_repeats):
            for name, text in texts.items():
                answers = [ask(each, text, plan.n_tokens, logit_bias=bias) for each in clients]
                for samples, answer in zip(speeds[name], answers, strict=True):
                    samples.append(answer.tokens_per_s)
                shown = " and ".join(f"{answer.tokens_per_s:.1f}" for answer in answers)
                say(f"{name} {repeat + 1}/{plan.n_repeats}: {shown} tok/s")
                counts = " and ".join(map(prompt_counts, answers))
                notes[name] = f"{plan.n_tokens} tokens after a prompt of {counts}"
    return [
        Result(name, "tok/s", mine, _TARGET, theirs, peer.name, [notes[name]])
        for name, (mine, theirs) in speeds.items()
    ]
