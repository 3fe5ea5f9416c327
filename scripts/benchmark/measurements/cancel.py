"""Owns how long the next client waits for the place of one that went away."""

from __future__ import annotations

import time

from scripts.benchmark.chat import CHAT_PATH, ask, chat_body, end_token_bias, random_text
from scripts.benchmark.console import say
from scripts.benchmark.http_client import HttpClient, receive
from scripts.benchmark.plan import Plan
from scripts.benchmark.results import Result, Target

_PROMPT_TOKENS = 2000
_INTO_PREFILL_S = 1.0
_RUNNING_AFTER = 10  # pieces of text
_TARGET = Target(300, of="ours")


def measure(plan: Plan) -> list[Result]:
    """Hang up in decode and in prefill on a server with one place, and ask again at once.

    The wait is how much later the first text comes than on an idle server.
    """
    waits: dict[str, list[float]] = {"cancel (decode)": [], "cancel (prefill)": []}
    with plan.speed_server(1) as server:
        client = server.client
        bias = end_token_bias(client, plan.speed_model())
        _ttft_ms(client)
        for repeat in range(plan.n_repeats):
            idle_ms = _ttft_ms(client)
            _hang_up_in_decode(client, bias)
            waits["cancel (decode)"].append(_ttft_ms(client) - idle_ms)
            _hang_up_in_prefill(client, random_text(client, _PROMPT_TOKENS))
            waits["cancel (prefill)"].append(_ttft_ms(client) - idle_ms)
            shown = " and ".join(f"{samples[-1]:.0f}" for samples in waits.values())
            say(f"cancel {repeat + 1}/{plan.n_repeats}: {shown} ms")
    note = "how much later the next request's first text comes, on a server with one place"
    return [Result(name, "ms", samples, _TARGET, notes=[note]) for name, samples in waits.items()]


def _hang_up_in_decode(client: HttpClient, bias: dict[str, float]) -> None:
    messages = [{"role": "user", "content": "Tell me a long story."}]
    stream = client.open_stream(CHAT_PATH, chat_body(messages, 1000, logit_bias=bias))
    receive([stream], until=lambda: len(stream.arrivals) > _RUNNING_AFTER)
    stream.cut()


def _hang_up_in_prefill(client: HttpClient, text: str) -> None:
    stream = client.open_stream(CHAT_PATH, chat_body([{"role": "user", "content": text}], 1))
    time.sleep(_INTO_PREFILL_S)
    stream.cut()


def _ttft_ms(client: HttpClient) -> float:
    return ask(client, "Hello", 1).ttft_ms
