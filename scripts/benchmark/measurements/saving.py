"""Owns what writing prompts to disk costs a running stream: its pauses meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from scripts.benchmark.cache_watch import (
    CacheWatch,
    look,
    split_gaps_ms,
    wait_until_written,
    writing_spans,
)
from scripts.benchmark.chat import CHAT_PATH, ask_under, chat_body, end_token_bias, random_text
from scripts.benchmark.console import BenchFailed, say
from scripts.benchmark.disk_folder import disk_folder
from scripts.benchmark.http_client import HttpClient, OpenStream, receive
from scripts.benchmark.plan import Plan
from scripts.benchmark.results import Result, Target
from scripts.benchmark.streamed import percentile

_PROMPT_TOKENS = 4000
_ANSWER_TOKENS = 4
_N_ENTRIES = 3  # one is written in the time of too few tokens
_STREAM_TOKENS = 3000  # more than a stream gets in that time
_QUIET_PIECES = 200  # pieces of text after the writing
_SETTINGS: dict[str, Any] = {
    # Of the three, the instructions are on disk already: they wait ten times as long.
    "disk_save_after_s": 0.4,
    "disk_daily_write_mb": 0,
    "idle_cache_mb": 512,
    "stream_interval_ms": 0,  # each token by itself
}
_TARGET = Target(1.3, of="ratio")
_SHARES = {"saving p99": 0.99, "saving p50": 0.5, "saving max": 1.0}


def measure(plan: Plan) -> list[Result]:
    """Let a stream run while conversations that went idle before it began are written.

    They share their instructions, so that only the first one is prefilled.

    Raises:
        BenchFailed: the stream ended before all was written, or nothing was written beside it.
    """
    writing: list[list[float]] = []
    quiet: list[list[float]] = []
    with (
        disk_folder() as folder,
        plan.speed_server(settings=_SETTINGS | {"cache_dir": str(folder)}) as server,
    ):
        client = server.client
        bias = end_token_bias(client, plan.speed_model())
        system = random_text(client, _PROMPT_TOKENS)
        ask_under(client, system, "Hello", _ANSWER_TOKENS, logit_bias=bias)
        wait_until_written(client, 1)
        for repeat in range(plan.n_long_repeats):
            beside, alone = _gaps_ms(client, bias, system, repeat)
            writing.append(beside)
            quiet.append(alone)
            say(
                f"saving {repeat + 1}/{plan.n_long_repeats}: p99 of {len(beside)} pauses "
                f"{percentile(beside, 0.99):.1f}, of {len(alone)} others "
                f"{percentile(alone, 0.99):.1f} ms"
            )
    return _results(writing, quiet)


def _gaps_ms(
    client: HttpClient, bias: dict[str, float], system: str, repeat: int
) -> tuple[list[float], list[float]]:
    """Return the pauses of a stream while entries are written, and its others."""
    n_saves = look(client).n_saves + _N_ENTRIES
    for number in range(_N_ENTRIES):
        question = f"What is number {repeat * _N_ENTRIES + number}?"
        ask_under(client, system, question, _ANSWER_TOKENS, logit_bias=bias)
    messages = [{"role": "user", "content": "Tell me a long story."}]
    with CacheWatch(client) as watch:
        body = chat_body(messages, _STREAM_TOKENS, logit_bias=bias)
        stream = client.open_stream(CHAT_PATH, body)
        receive([stream], until=_after(stream, lambda: watch.has_written(n_saves)))
    is_whole = not stream.is_open
    stream.cut()
    inside, outside = split_gaps_ms(stream.answer().text_times_s, writing_spans(watch.sights))
    if is_whole or not inside:
        raise BenchFailed(
            f"{_N_ENTRIES} prompts should be written beside a stream: it "
            + ("ended before that" if is_whole else "began after that")
        )
    return inside, outside


def _after(stream: OpenStream, is_done: Callable[[], bool]) -> Callable[[], bool]:
    """Return whether so many pieces came after something was done."""
    n_at_end: list[int] = []

    def is_enough() -> bool:
        if not n_at_end and is_done():
            n_at_end.append(len(stream.arrivals))
        return bool(n_at_end) and len(stream.arrivals) >= n_at_end[0] + _QUIET_PIECES

    return is_enough


def _results(writing: list[list[float]], quiet: list[list[float]]) -> list[Result]:
    counts = sum(map(len, writing)), sum(map(len, quiet))
    note = (
        f"pauses between tokens of one stream: {counts[0]} while {_N_ENTRIES} prompts of "
        f"{_PROMPT_TOKENS} tokens are written one after the other, {counts[1]} around that"
    )
    return [
        Result(
            name,
            "ms",
            [percentile(gaps, share) for gaps in writing],
            _TARGET if share == 0.99 else None,
            [percentile(gaps, share) for gaps in quiet],
            "not writing",
            [note] if share == 0.99 else [],
        )
        for name, share in _SHARES.items()
    ]
