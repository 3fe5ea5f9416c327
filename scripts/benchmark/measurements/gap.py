"""Owns what running streams and a long prompt do to each other, against another server."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from scripts.benchmark.chat import CHAT_PATH, chat_body, end_token_bias, random_text
from scripts.benchmark.console import BenchFailed, say
from scripts.benchmark.http_client import HttpClient, OpenStream, receive
from scripts.benchmark.plan import Plan
from scripts.benchmark.results import Result, Target
from scripts.benchmark.streamed import gaps_ms, percentile

_PROMPT_TOKENS = 4000
_ANSWER_TOKENS = 2
_N_STREAMS = 2
_STREAM_TOKENS = 1500  # more than a stream gets while the prompt is worked on
_RUNNING_AFTER = 10  # pieces of text, each stream
_SETTLE_S = 0.5  # for a server to notice that its clients went away
_LARGEST_GAP = Target(300, of="ours")
_COST = Target(1.15, of="ratio")


@dataclass
class _Samples:
    """What one server showed; times in milliseconds, one entry a repeat."""

    alone: list[float] = field(default_factory=list)
    beside: list[float] = field(default_factory=list)
    gap_max: list[float] = field(default_factory=list)
    gap_p99: list[float] = field(default_factory=list)
    gap_p50: list[float] = field(default_factory=list)
    n_gaps: int = 0


def measure(plan: Plan) -> list[Result]:
    """Send each server a long prompt with nothing else to do, then one beside running streams.

    Raises:
        BenchFailed: there is no peer, or a stream ended before the prompt was worked on.
    """
    samples = (_Samples(), _Samples())
    with plan.both_servers() as (ours, peer):
        bias = end_token_bias(ours.client, plan.speed_model())
        for repeat in range(plan.n_repeats):
            texts = [random_text(ours.client, _PROMPT_TOKENS) for _ in range(2)]
            for client, each in zip((ours.client, peer.client), samples, strict=True):
                each.alone.append(_alone_ms(client, bias, texts[0]))
                _measure_beside(client, bias, texts[1], each)
                time.sleep(_SETTLE_S)
            say(
                f"gap {repeat + 1}/{plan.n_repeats}: "
                + " and ".join(f"{each.gap_max[-1]:.0f}" for each in samples)
                + " ms, prompt "
                + " and ".join(f"{each.alone[-1]:.0f} → {each.beside[-1]:.0f}" for each in samples)
                + " ms"
            )
    return _results(*samples, peer.name)


def _ask(client: HttpClient, bias: dict[str, float], text: str, n_tokens: int) -> OpenStream:
    messages = [{"role": "user", "content": text}]
    return client.open_stream(CHAT_PATH, chat_body(messages, n_tokens, logit_bias=bias))


def _alone_ms(client: HttpClient, bias: dict[str, float], text: str) -> float:
    stream = _ask(client, bias, text, _ANSWER_TOKENS)
    receive([stream])
    return stream.answer().ttft_ms


def _measure_beside(
    client: HttpClient, bias: dict[str, float], text: str, samples: _Samples
) -> None:
    running = [
        _ask(client, bias, f"Tell me story number {number}.", _STREAM_TOKENS)
        for number in range(_N_STREAMS)
    ]
    receive(running, until=lambda: all(len(each.arrivals) > _RUNNING_AFTER for each in running))
    long = _ask(client, bias, text, _ANSWER_TOKENS)
    receive([*running, long], until=lambda: not long.is_open)
    if not all(each.is_open for each in running):
        raise BenchFailed("a running stream ended before the long prompt was worked on")
    for each in running:
        each.cut()
    answer = long.answer()
    gaps = [
        gap
        for each in running
        for gap in gaps_ms(each.answer().text_times_s, answer.began_s, answer.first_text_s)
    ]
    samples.beside.append(answer.ttft_ms)
    samples.gap_max.append(max(gaps))
    samples.gap_p99.append(percentile(gaps, 0.99))
    samples.gap_p50.append(percentile(gaps, 0.5))
    samples.n_gaps += len(gaps)


def _results(ours: _Samples, peer: _Samples, peer_name: str) -> list[Result]:
    note = (
        f"pauses of {_N_STREAMS} streams while a prompt of {_PROMPT_TOKENS} tokens is worked on; "
        f"{ours.n_gaps} of ours, {peer.n_gaps} of the peer's"
    )
    beside = f"time to first token of the long prompt, beside {_N_STREAMS} streams and alone"
    return [
        Result("gap max", "ms", ours.gap_max, _LARGEST_GAP, peer.gap_max, peer_name, [note]),
        Result("gap p99", "ms", ours.gap_p99, None, peer.gap_p99, peer_name),
        Result("gap p50", "ms", ours.gap_p50, None, peer.gap_p50, peer_name),
        Result("long prompt", "ms", ours.beside, _COST, ours.alone, "ours, alone", [beside]),
        Result("long, alone", "ms", ours.alone, None, peer.alone, peer_name),
        Result("long, beside", "ms", ours.beside, None, peer.beside, peer_name),
    ]
