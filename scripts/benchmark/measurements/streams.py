"""Owns the total speed of several streams at once against another server."""

from __future__ import annotations

from scripts.benchmark.chat import CHAT_PATH, chat_body, check_length, end_token_bias
from scripts.benchmark.console import say
from scripts.benchmark.http_client import HttpClient, receive
from scripts.benchmark.plan import Plan
from scripts.benchmark.results import Result, Target

_COUNTS = (4, 8)
_TOPICS = ("lamps", "rain", "music", "the sea", "a dog", "trains", "bread", "the moon")
_TARGET = Target(1.05, of="ratio", is_lower_bound=True)


def measure(plan: Plan) -> list[Result]:
    """Measure each number of streams with a pair of servers that have so many places.

    Raises:
        BenchFailed: there is no peer, or an answer ended early.
    """
    return [_measure(plan, n_streams) for n_streams in _COUNTS]


def _measure(plan: Plan, n_streams: int) -> Result:
    ours_speeds: list[float] = []
    peer_speeds: list[float] = []
    name = f"{n_streams} streams"
    with plan.both_servers(n_streams) as (ours, peer):
        bias = end_token_bias(ours.client, plan.speed_model())
        for client in (ours.client, peer.client):
            _total_tokens_per_s(client, bias, n_streams, 8)
        for repeat in range(plan.n_repeats):
            for client, speeds in ((ours.client, ours_speeds), (peer.client, peer_speeds)):
                speeds.append(_total_tokens_per_s(client, bias, n_streams, plan.n_tokens))
            shown = f"{ours_speeds[-1]:.1f} and {peer_speeds[-1]:.1f} tok/s"
            say(f"{name} {repeat + 1}/{plan.n_repeats}: {shown}")
    note = f"{plan.n_tokens} tokens each, from the first request to the end of the last answer"
    return Result(name, "tok/s", ours_speeds, _TARGET, peer_speeds, peer.name, [note])


def _total_tokens_per_s(
    client: HttpClient, bias: dict[str, float], n_streams: int, n_tokens: int
) -> float:
    """Return all tokens over the time from the first request to the end of the last answer."""
    streams = []
    for topic in _TOPICS[:n_streams]:
        messages = [{"role": "user", "content": f"Tell me a long story of {topic}."}]
        body = chat_body(messages, n_tokens, logit_bias=bias)
        streams.append(client.open_stream(CHAT_PATH, body))
    receive(streams)
    answers = [stream.answer() for stream in streams]
    for answer in answers:
        check_length(answer, n_tokens)
    seconds = max(answer.finished_s for answer in answers) - answers[0].began_s
    return n_streams * n_tokens / seconds
