"""Owns what a saved prompt is worth after a power cut: the first request's time to first token."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from scripts.benchmark.chat import QUESTIONS, ask_under, end_token_bias, prompt_counts, random_text
from scripts.benchmark.console import BenchFailed, say
from scripts.benchmark.disk_folder import disk_folder
from scripts.benchmark.http_client import HttpClient
from scripts.benchmark.llama_bench import llama_program
from scripts.benchmark.measurements.prefix import ANSWER_TOKENS, PREFIX_TOKENS
from scripts.benchmark.plan import Plan
from scripts.benchmark.results import Result, Target
from scripts.benchmark.streamed import Streamed

_LONG_TOKENS = 4000
_WARM_UP_TOKENS = 60
_TARGETS = {PREFIX_TOKENS: Target(0.08, of="ratio"), _LONG_TOKENS: Target(0.03, of="ratio")}


@dataclass
class _Samples:
    """Times to first token in milliseconds, one of each a repeat."""

    name: str
    target: Target | None = None
    cold: list[float] = field(default_factory=list)
    after: list[float] = field(default_factory=list)
    counts: str = ""

    def add(self, cold: Streamed, after: Streamed) -> None:
        self.cold.append(cold.ttft_ms)
        self.after.append(after.ttft_ms)
        self.counts = prompt_counts(after)
        say(f"{self.name} {len(self.cold)}: cold {self.cold[-1]:.0f}, then {self.after[-1]:.0f} ms")

    def result(self) -> Result:
        note = f"first request after the restart; prompt tokens: {self.counts}"
        return Result(self.name, "ms", self.after, self.target, self.cold, "before, cold", [note])


def measure(plan: Plan) -> list[Result]:
    """Save prompts with /restore_cache, kill all processes, start again and ask once.

    llama-server is ended and started in the same way.

    Raises:
        BenchFailed: there is no llama-server here, or a prompt was not saved.
    """
    if plan.peer_url is not None:
        raise BenchFailed("a server at a URL cannot be started again: use llama-server")
    llama_program("llama-server", plan.llama_server)
    short, long = (_Samples(f"restart ({n})", target) for n, target in _TARGETS.items())
    peer = _Samples(f"restart ({PREFIX_TOKENS}), peer's")
    for repeat in range(plan.n_repeats):
        is_long = repeat < plan.n_long_repeats
        lengths = {PREFIX_TOKENS: short} | ({_LONG_TOKENS: long} if is_long else {})
        with disk_folder() as folder:
            _measure_ours(plan, folder, lengths)
        if is_long:
            _measure_peer(plan, peer)
    return [samples.result() for samples in (short, long, peer)]


def _measure_ours(plan: Plan, folder: Path, samples: dict[int, _Samples]) -> None:
    start = partial(plan.speed_server, settings={"cache_dir": str(folder)})
    saved: list[tuple[_Samples, str, Streamed]] = []
    with start() as server:
        bias = _warmed_up(plan, server.client)
        for n_tokens, each in samples.items():
            system = random_text(server.client, n_tokens)
            cold = ask_under(server.client, system, QUESTIONS[0], ANSWER_TOKENS, logit_bias=bias)
            _save(server.client, system)
            saved.append((each, system, cold))
        server.kill()
    for each, system, cold in saved:
        with start() as server:
            after = ask_under(server.client, system, QUESTIONS[1], ANSWER_TOKENS, logit_bias=bias)
            server.kill()
        each.add(cold, after)


def _save(client: HttpClient, system: str) -> None:
    messages = [{"role": "system", "content": system}]
    told = client.post("/restore_cache", {"messages": messages})
    if not told["saved"]:
        raise BenchFailed(f"a prompt was not saved: {told}")


def _measure_peer(plan: Plan, samples: _Samples) -> None:
    with plan.llama_server_here() as server:
        bias = _warmed_up(plan, server.client)
        system = random_text(server.client, PREFIX_TOKENS)
        cold = ask_under(server.client, system, QUESTIONS[0], ANSWER_TOKENS, logit_bias=bias)
    with plan.llama_server_here() as server:
        after = ask_under(server.client, system, QUESTIONS[1], ANSWER_TOKENS, logit_bias=bias)
    samples.add(cold, after)


def _warmed_up(plan: Plan, client: HttpClient) -> dict[str, float]:
    """Have a first request answered, which takes longer; return the bias against end tokens."""
    bias = end_token_bias(client, plan.speed_model())
    ask_under(
        client, random_text(client, _WARM_UP_TOKENS), QUESTIONS[0], ANSWER_TOKENS, logit_bias=bias
    )
    return bias
