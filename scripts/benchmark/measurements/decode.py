"""Owns decode speed: one stream over HTTP against `llama-bench`, the same model and threads."""

from __future__ import annotations

from scripts.benchmark.chat import ask, end_token_bias, random_text
from scripts.benchmark.console import say
from scripts.benchmark.llama_bench import LlamaBench
from scripts.benchmark.plan import Plan
from scripts.benchmark.results import Result, Target

SHORT_TEXT = "Tell me a long story."
LONG_TOKENS = 2000
_SHARE = Target(0.96, of="ratio", is_lower_bound=True)


def measure(plan: Plan) -> list[Result]:
    """Take turns with the peer: ours, peer, ours, peer …; the server idles while it is not asked.

    The peer generates after as many tokens of context as our prompt has.

    Raises:
        BenchFailed: there is no `llama-bench`, or an answer ended early.
    """
    peer = LlamaBench(plan.llama_bench)
    model = plan.speed_model()
    ours: dict[int, list[float]] = {0: [], LONG_TOKENS: []}
    theirs: dict[int, list[float]] = {0: [], LONG_TOKENS: []}
    with plan.speed_server() as server:
        bias = end_token_bias(server.client, model)
        texts = {0: SHORT_TEXT, LONG_TOKENS: random_text(server.client, LONG_TOKENS)}
        for text in texts.values():  # from now on the server knows the prompts
            ask(server.client, text, 16, logit_bias=bias)
        for repeat in range(plan.n_repeats):
            for depth, text in texts.items():
                answer = ask(server.client, text, plan.n_tokens, logit_bias=bias)
                n_prompt = int(answer.usage["prompt_tokens"])
                speed = peer.decode_tokens_per_s(
                    model, plan.n_tokens, plan.n_threads, n_depth=n_prompt
                )
                ours[depth].append(answer.tokens_per_s)
                theirs[depth].append(speed)
                speeds = f"{answer.tokens_per_s:.1f} and {speed:.1f} tok/s"
                say(f"decode {repeat + 1}/{plan.n_repeats} after {depth} tokens: {speeds}")
    note = f"{plan.n_tokens} tokens of {model.name}; llama-bench of llama.cpp {peer.version()}"
    names = {0: "decode", LONG_TOKENS: "decode (2k)"}
    notes = {0: note, LONG_TOKENS: f"the same after {LONG_TOKENS} tokens of context"}
    return [
        Result(name, "tok/s", ours[at], _SHARE, theirs[at], "llama-bench", [notes[at]])
        for at, name in names.items()
    ]
