"""Owns decode speed: one stream over HTTP against `llama-bench`, the same model and threads."""

from __future__ import annotations

from scripts.benchmark.chat import CHAT_PATH, chat_body, end_token_bias
from scripts.benchmark.console import BenchFailed, say
from scripts.benchmark.http_client import HttpClient
from scripts.benchmark.llama_bench import LlamaBench
from scripts.benchmark.plan import Plan
from scripts.benchmark.results import Result, Target

_MESSAGES = [{"role": "user", "content": "Tell me a long story."}]
_WARM_UP_TOKENS = 16


def measure(plan: Plan) -> list[Result]:
    """Take turns with the peer: ours, peer, ours, peer …; the server idles while it is not asked.

    Raises:
        BenchFailed: there is no `llama-bench`, or an answer ended early.
    """
    peer = LlamaBench(plan.llama_bench)
    model = plan.speed_model()
    ours: list[float] = []
    theirs: list[float] = []
    with plan.speed_server() as server:
        bias = end_token_bias(server.client, model)
        _tokens_per_s(server.client, bias, _WARM_UP_TOKENS)
        for repeat in range(plan.n_repeats):
            ours.append(_tokens_per_s(server.client, bias, plan.n_tokens))
            theirs.append(peer.decode_tokens_per_s(model, plan.n_tokens, plan.n_threads))
            say(f"decode {repeat + 1}/{plan.n_repeats}: {ours[-1]:.1f} and {theirs[-1]:.1f} tok/s")
    return [
        Result(
            "decode",
            "tok/s",
            ours,
            Target(0.93, of="ratio", is_lower_bound=True),
            peer=theirs,
            peer_name="llama-bench",
            notes=[
                f"{plan.n_tokens} tokens of {model.name}; llama-bench of llama.cpp {peer.version()}"
            ],
        )
    ]


def _tokens_per_s(client: HttpClient, bias: dict[str, float], n_tokens: int) -> float:
    answer = client.stream(CHAT_PATH, chat_body(_MESSAGES, n_tokens, logit_bias=bias))
    if answer.n_tokens != n_tokens:
        raise BenchFailed(f"an answer ended after {answer.n_tokens} of {n_tokens} tokens")
    return answer.tokens_per_s
