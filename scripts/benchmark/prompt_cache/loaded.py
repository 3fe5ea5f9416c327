"""Owns the scenarios beside other work: pauses of a stream, cancelled prefills, memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from scripts.benchmark.cache_watch import CacheWatch, Span, split_gaps_ms, writing_spans
from scripts.benchmark.chat import end_token_bias
from scripts.benchmark.console import BenchFailed
from scripts.benchmark.http_client import OpenStream, receive
from scripts.benchmark.process_memory import memory_mb
from scripts.benchmark.prompt_cache import targets
from scripts.benchmark.prompt_cache.bench import TIMED_SIZES, Bench, Texts, warm_up
from scripts.benchmark.prompt_cache.rows import Row
from scripts.benchmark.prompt_cache.stored import Service, service
from scripts.benchmark.prompt_cache.talk import Asked, Message, Talk, Talker
from scripts.benchmark.streamed import percentile

_LONG_TOKENS = 4000
_STREAM_TOKENS = 3000
_QUIET_PIECES = 150
_N_TIMES = 3
_CANCELLED_TOKENS = 2000
_CANCELLED_AT = 0.55
# What a context weighs in Gemma-3-1B; the other widths do not matter for that.
GEMMA3_1B = {"n_layer": 26, "n_head": 4, "n_head_kv": 1, "n_embd_head": 256}
_CONTEXTS = (2048, 32768)

Gaps = tuple[list[float], list[float]]


def gap(bench: Bench, shape: str) -> list[Row]:
    """Pauses of a stream while a conversation of 4,000 tokens is written, and while it is read.

    Each happens once, beside a few dozen pauses, so the median of several times is taken.
    """
    model = bench.model(shape, **TIMED_SIZES)
    written, read = [], []
    with service(bench, model) as running:
        for _ in range(_N_TIMES):
            talk = Talk(running.talker, Texts(running.server.client).text(_LONG_TOKENS))
            written.append(_p99_share(_while_written(running, model, talk)))
            running.restart()
            read.append(_p99_share(_while_read(running, model, talk)))
    found = (("written", written), ("read", read))
    return [
        Row(
            shape,
            f"p99 gap while 4,000 tokens are {name}",
            "of others",
            median(shares),
            None,
            [targets.GAP],
            "median of " + " ".join(f"{share:.2f}" for share in shares),
        )
        for name, shares in found
    ]


def _p99_share(gaps: Gaps) -> float:
    inside, outside = gaps
    return percentile(inside, 0.99) / percentile(outside, 0.99)


def _while_written(running: Service, model: Path, talk: Talk) -> Gaps:
    """Return the pauses while the conversation is written, and those of a quiet time."""
    client = running.server.client
    talk.say("Hello", max_tokens=1)
    with CacheWatch(client) as watch:
        stream = _stream(running, model)
        receive([stream], until=lambda: len(stream.arrivals) > 2 * _QUIET_PIECES)
    stream.cut()
    gaps = split_gaps_ms(stream.answer().text_times_s, writing_spans(watch.sights))
    return _not_empty(gaps)


def _while_read(running: Service, model: Path, talk: Talk) -> Gaps:
    """Return the pauses while a request is answered from disk, those of one from memory."""
    warm_up(running.talker)
    stream = _stream(running, model)
    receive([stream], until=lambda: len(stream.arrivals) > _QUIET_PIECES // 3)
    spans: list[Span] = []
    for number in range(2):
        began_s = time.perf_counter()
        other = Talk(running.talker, talk.system)
        other.messages.append({"role": "user", "content": f"{number}: hello"})
        beside = running.talker.open(other.messages, (), max_tokens=32, ignore_eos=True)
        receive([stream, beside], until=_ended(beside))
        spans.append((began_s, time.perf_counter()))
    stream.cut()
    times = stream.answer().text_times_s
    read, _ = split_gaps_ms(times, spans[:1])
    known, _ = split_gaps_ms(times, spans[1:])
    return _not_empty((read, known))


def _ended(stream: OpenStream) -> Callable[[], bool]:
    return lambda: not stream.is_open


def _not_empty(gaps: Gaps) -> Gaps:
    if not all(gaps):
        raise BenchFailed(f"pauses to compare: {len(gaps[0])} and {len(gaps[1])}")
    return gaps


def _stream(running: Service, model: Path) -> OpenStream:
    bias = end_token_bias(running.server.client, model)
    messages: list[Message] = [{"role": "user", "content": "Tell me a long story."}]
    options: dict[str, Any] = {"max_tokens": _STREAM_TOKENS, "logit_bias": bias, "speculate": False}
    return running.talker.open(messages, (), **options)


def cancelled(bench: Bench, shape: str) -> list[Row]:
    """A prefill that the client leaves at 55 % and asks for again."""
    played = bench.each(bench.model(shape, **TIMED_SIZES), _cancelled)
    missed = [max(0, round(_CANCELLED_AT * asked.n_prompt - asked.n_cached)) for asked, _ in played]
    details = " ; ".join(f"{asked} {asked.ttft_ms / cold_ms:.2f}" for asked, cold_ms in played)
    peer = float(missed[1]) if len(missed) > 1 else None
    bounds = [targets.CANCELLED]
    return [Row(shape, "cancelled at 55 %", "missed", missed[0], peer, bounds, details)]


def _cancelled(talker: Talker, texts: Texts) -> tuple[Asked, float]:
    """Return the second request and how long the first would have taken."""
    cold_ms = Talk(talker, texts.text(_CANCELLED_TOKENS)).say("Hello").ttft_ms
    messages: list[Message] = [
        {"role": "system", "content": texts.text(_CANCELLED_TOKENS)},
        {"role": "user", "content": "Hello"},
    ]
    stream = talker.open(messages, ())
    time.sleep(_CANCELLED_AT * cold_ms / 1000.0)
    stream.cut()
    time.sleep(0.5)  # whatever the server has to put away
    return talker.ask(messages), cold_ms


def memory(bench: Bench, shape: str) -> list[Row]:
    """Resident memory that 32,768 tokens of context take more than 2,048 do."""
    if shape != "gemma3":
        return []
    model = bench.model(shape, **GEMMA3_1B)
    ours = [_resident_mb(bench, model, n_ctx, is_ours=True) for n_ctx in _CONTEXTS]
    theirs: list[float] = []
    if bench.has_peer:
        theirs = [_resident_mb(bench, model, n_ctx, is_ours=False) for n_ctx in _CONTEXTS]
    peer = theirs[1] - theirs[0] if theirs else None
    details = f"resident with 32k: {ours[1]:.0f} MB" + (f" ; {theirs[1]:.0f}" if theirs else "")
    label = "memory of 32k tokens, Gemma-3-1B's shape"
    return [Row(shape, label, "MB", ours[1] - ours[0], peer, targets.memory_mb(peer), details)]


def _resident_mb(bench: Bench, model: Path, n_ctx: int, *, is_ours: bool) -> float:
    with bench.ours(model, n_ctx) if is_ours else bench.peer(model, n_ctx) as server:
        warm_up(Talker(server))
        return memory_mb(server.pids())[0]
