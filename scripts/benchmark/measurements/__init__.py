"""Owns the list of measurements; each is a file here with a `measure` function.

To add one: write the file, name it below, also in its group if it belongs to one. `measure` gets
the plan of the run and returns rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from scripts.benchmark.measurements import (
    cancel,
    constraint,
    decode,
    footprint,
    forced,
    gap,
    mask,
    memory,
    objects,
    overhead,
    prefix,
    restart,
    saving,
    shared,
    speculation,
    startup,
    stop,
    stream,
    streams,
    switch,
    ttft,
    turns,
)
from scripts.benchmark.plan import Plan
from scripts.benchmark.results import Result


@dataclass(frozen=True)
class Measurement:
    """A thing that `scripts/bench run` measures.

    Attributes:
        text: what it measures, in a few words.
        measure: takes the figures; raises `BenchFailed` where it cannot.
    """

    text: str
    measure: Callable[[Plan], list[Result]]


MEASUREMENTS = {
    "decode": Measurement("tokens per second of one stream, against llama-bench", decode.measure),
    "stream": Measurement("the same over HTTP, against llama-server", stream.measure),
    "streams": Measurement("all tokens per second of 4 and 8 streams", streams.measure),
    "ttft": Measurement("time to first token, cold and with a known prefix", ttft.measure),
    "gap": Measurement("pauses of streams while a long prompt is worked on", gap.measure),
    "cancel": Measurement("wait for the place of a client that went away", cancel.measure),
    "footprint": Measurement("time to ready and memory, against llama-server", footprint.measure),
    "overhead": Measurement("CPU time per token outside llama.cpp", overhead.measure),
    "prefix": Measurement("what a known prefix saves, ours alone", prefix.measure),
    "startup": Measurement("time from exec to healthy, small model", startup.measure),
    "memory": Measurement("memory of both processes, small model", memory.measure),
    "stop": Measurement("time from SIGTERM to exit when idle, small model", stop.measure),
    "shared": Measurement("new conversation under a known prompt", shared.measure),
    "restart": Measurement("first conversation after kill -9 and a restart", restart.measure),
    "switch": Measurement("conversation after a model switch there and back", switch.measure),
    "saving": Measurement("pauses of a stream while prompts go to disk", saving.measure),
    "turns": Measurement(
        "history without prefill in 20 turns with tools, small model", turns.measure
    ),
    "mask": Measurement("choosing a token that a grammar admits", mask.measure),
    "constraint": Measurement("compiling grammars, and the tokenizer for them", constraint.measure),
    "object": Measurement("answers that a schema forces, against llama-server", objects.measure),
    "forced": Measurement("forced tokens at once instead of one by one", forced.measure),
    "speculation": Measurement("tokens guessed ahead, where it pays and not", speculation.measure),
}
GROUPS = {
    "cache": ("shared", "restart", "switch", "saving", "turns"),
    "structured": ("mask", "constraint", "object", "forced", "speculation"),
}


def names_of(chosen: Iterable[str] | None) -> list[str]:
    """Return the measurements that are meant, each once; of a group, its members.

    Args:
        chosen: names of measurements and groups; None means everything.
    """
    named = [GROUPS.get(name, (name,)) for name in chosen or MEASUREMENTS]
    return list(dict.fromkeys(name for members in named for name in members))
