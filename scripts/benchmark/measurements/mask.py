"""Owns what it costs to choose a token that a grammar admits, against one that is free."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass, field
from statistics import mean

from app.engine.constrain import GuidePlan
from app.engine.decode.sampling import stages
from app.engine.llama import BatchPart, Context, Sampler
from app.protocol import LoadParams, SamplingParams
from scripts.benchmark.console import say
from scripts.benchmark.engine_parts import EngineParts, Walk, json_command
from scripts.benchmark.plan import Plan
from scripts.benchmark.results import Result, Target
from scripts.benchmark.streamed import percentile
from scripts.benchmark.structured_tasks import PERSON, PERSON_SCHEMA

_N_CTX = 1024
_SAMPLING = {
    "mask": SamplingParams(seed=1),
    "mask, greedy": SamplingParams(temperature=0.0),
}
_TARGET = Target(0.5, of="ours")


@dataclass
class _Times:
    """CPU times of one answer in milliseconds, one entry a chosen token.

    The thread's, so that what else the machine does is not in them.
    """

    mask: list[float] = field(default_factory=list)
    sample: list[float] = field(default_factory=list)
    take: list[float] = field(default_factory=list)

    @property
    def chosen(self) -> list[float]:
        """All that it takes to choose a token."""
        return [sum(parts) for parts in zip(self.mask, self.sample, strict=True)]

    def in_words(self) -> str:
        """Return where the time goes, on average."""
        parts = {
            "mask": self.mask,
            "sampling": self.sample,
            "noting the token": self.take,
        }
        return ", ".join(f"{name} {mean(times):.3f}" for name, times in parts.items())


def measure(plan: Plan) -> list[Result]:
    """Decode a known answer token by token, and choose at each step as the engine does.

    What is chosen is thrown away for what the answer has there, so that all repeats see the same
    states; each begins with a fresh matcher, and the decoding between two choices takes the
    processor's caches away as it does in the engine.
    """
    params = LoadParams(n_ctx=_N_CTX, n_threads=plan.n_threads, n_threads_batch=plan.n_threads)
    parts = EngineParts(plan.speed_model(), params)
    grammar = parts.plan(json_command(PERSON_SCHEMA))
    context = Context(parts.model, params, n_seq_max=1, n_threads=plan.n_threads)
    rows: list[Result] = []
    for name, sampling in _SAMPLING.items():
        bound: list[_Times] = []
        free: list[_Times] = []
        for repeat in range(-1, plan.n_repeats):
            sampler = Sampler(stages(sampling), parts.model)
            pair = [
                _follow(context, sampler, grammar, is_held=is_held) for is_held in (True, False)
            ]
            sampler.close()
            if repeat < 0:  # the first pair warms up
                continue
            bound.append(pair[0])
            free.append(pair[1])
            shown = " and ".join(f"{mean(each.chosen):.3f}" for each in pair)
            say(f"{name} {repeat + 1}/{plan.n_repeats}: {shown} ms a token")
        rows += _results(name, bound, free, parts.model.n_vocab)
    context.close()
    return rows


def _follow(context: Context, sampler: Sampler, grammar: GuidePlan, *, is_held: bool) -> _Times:
    """Go through the answer once, with the grammar in force or not."""
    walk, times, n_past = Walk(grammar, PERSON), _Times(), 0
    context.clear(0)
    while not walk.is_over:
        context.decode([BatchPart(0, n_past, walk.pending, n_logits=1)])
        n_past += len(walk.pending)
        marks = [_now_ms()]
        mask = walk.guide.mask() if is_held else None
        marks.append(_now_ms())
        sampler.sample(context, -1, mask)
        marks.append(_now_ms())
        token = walk.next_token()
        began_ms = _now_ms()
        walk.take(token)
        times.take.append(_now_ms() - began_ms)
        for part, (begin, end) in zip(
            (times.mask, times.sample), itertools.pairwise(marks), strict=True
        ):
            part.append(end - begin)
    return times


def _now_ms() -> float:
    return time.thread_time_ns() / 1e6


def _results(name: str, held: list[_Times], free: list[_Times], n_vocab: int) -> list[Result]:
    n_choices = len(held[-1].mask)
    note = f"{n_choices} choices of an answer, {n_vocab:,} tokens; ms: {held[-1].in_words()}"
    means, free_means = ([mean(each.chosen) for each in side] for side in (held, free))
    worst, free_worst = ([percentile(each.chosen, 0.99) for each in side] for side in (held, free))
    return [
        Result(name, "ms", means, _TARGET, free_means, "no grammar", [note]),
        Result(f"{name}, p99", "ms", worst, _TARGET, free_worst, "no grammar"),
    ]
