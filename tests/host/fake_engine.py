"""Owns an engine process that computes nothing: started as `app.engine.main` is, with FD.

It notes each command in the file FAKE_ENGINE_NOTES, a JSON line each, and does what the first
message of a conversation says: `refuse`, `fail KIND` (of `app.errors`), `die`, `trouble WHY` (the
disk tier has some), `break` (an answer fails after its first piece, and after somebody opened the
FIFO behind it, if there is one), or `wait PATH`, which is a FIFO that somebody has to open
and close. A load waits for such a FIFO, at 42 %, where FAKE_ENGINE_LOAD names one, and is refused
over its chat template as long as there is the file that FAKE_ENGINE_REFUSES names.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from app.protocol import (
    Accepted,
    CacheCleared,
    CacheCounts,
    CacheMatch,
    CacheMiss,
    CacheReport,
    ChangingHead,
    ClearCache,
    Command,
    CountTokens,
    DescribeCache,
    DiskEntry,
    Event,
    Failed,
    Finished,
    Generate,
    KindCounts,
    Load,
    Loaded,
    LoadFailed,
    LoadProgress,
    ModelInfo,
    Prefill,
    Shutdown,
    Started,
    Stats,
    TextDelta,
    Timings,
    TokenCount,
    Usage,
    command_reader,
    encode,
)

INFO = ModelInfo(
    description="a fake",
    n_params=1,
    size_bytes=1,
    n_ctx=512,
    n_ctx_train=512,
    n_vocab=100,
    n_gpu_layers=0,
    n_threads=1,
    n_threads_batch=1,
    has_chat_template=True,
    fingerprint="fp_fake",
    load_ms=1.0,
)
USAGE = Usage(prompt_tokens=10, cached_tokens=8, completion_tokens=1)
TIMINGS = Timings(
    queue_ms=1.0,
    ttft_ms=2.0,
    prompt_n=2,
    prompt_ms=1.0,
    predicted_n=1,
    predicted_ms=1.0,
    cache_n=8,
    tier="disk",
    restore_ms=3.5,
)
MATCH = CacheMatch(tokens=9, not_restored="no_state")
MISS = CacheMiss(index=8, before="today is", prompt=" Friday", cached=" Monday")
COUNTS = CacheCounts(
    memory_hits=1,
    disk_hits=2,
    misses={"empty": 3, "not_restored": 2},
    not_restored={"corrupt": 2},
    layout="blocks_and_states",
    memory_kinds=KindCounts(blocks=3, block_bytes=4, states=2, state_bytes=2),
    disk_kinds=KindCounts(blocks=5, block_bytes=5, states=2, state_bytes=3),
    restored_tokens=4,
    memory_entries=5,
    memory_bytes=6,
    memory_capacity_bytes=7,
    disk_entries=8,
    disk_bytes=9,
    disk_capacity_bytes=10,
    disk_saves=11,
    disk_evicted=12,
    disk_bad_entries=13,
    disk_waiting=14,
    written_today_bytes=15,
    daily_write_bytes=16,
)
ENTRY = DiskEntry(
    id="e",
    kind="state",
    role="turn",
    profile="kitchen",
    start=8,
    tokens=8,
    bytes=9,
    created_s=1.0,
    last_used_s=2.0,
)
HEAD = ChangingHead(
    index=3,
    head_tokens=90,
    kind="time",
    places=2,
    changes=4,
    tokens=80,
    seconds=1.5,
    before="it is",
    values=["12:03"],
    message="It changes.",
)
REFUSAL = "the chat template took too long"
CLEARED_ENTRIES, CLEARED_BYTES = 8, 9

counts = COUNTS


def main(descriptor: int) -> None:
    reader = command_reader()
    with socket.socket(fileno=descriptor) as connection:
        while data := connection.recv(65536):
            for command in reader.feed(data):
                note(command)
                if isinstance(command, Shutdown):
                    return
                for event in answers(command):
                    connection.sendall(encode(event))


def note(command: Command) -> None:
    if path := os.environ.get("FAKE_ENGINE_NOTES"):
        with Path(path).open("ab") as notes:
            notes.write(msgspec.json.encode(command) + b"\n")


def answers(command: Command) -> Iterable[Event]:
    match command:
        case Load():
            return load()
        case Prefill():
            return prefill(command)
        case Generate():
            return generate(command)
        case CountTokens():
            return [TokenCount(request_id=command.request_id, n_tokens=USAGE.prompt_tokens)]
        case DescribeCache():
            name = command.request_id
            report = CacheReport(
                request_id=name, counts=counts, entries=[ENTRY], changing_heads=[HEAD]
            )
            return [report]
        case ClearCache():
            cleared = CacheCleared(
                request_id=command.request_id, entries=CLEARED_ENTRIES, bytes=CLEARED_BYTES
            )
            return [cleared]
        case _:
            return []


def load() -> Iterator[Event]:
    yield LoadProgress(fraction=0.42)
    if fifo := os.environ.get("FAKE_ENGINE_LOAD"):
        Path(fifo).read_bytes()
    refuses = os.environ.get("FAKE_ENGINE_REFUSES")
    if refuses and Path(refuses).exists():
        yield LoadFailed(message=REFUSAL, param="load_model_configs.chat_template")
        return
    yield Loaded(info=INFO)
    yield stats()


def prefill(command: Prefill) -> list[Event]:
    order, argument = order_in(command)
    finished = Finished(
        request_id=command.request_id, reason="stop", usage=USAGE, timings=TIMINGS, saved=True
    )
    match order:
        case "die":
            os._exit(9)
        case "refuse":
            return [failed(command.request_id)]
        case "trouble":
            return [stats(argument), finished]
        case "wait":
            Path(argument).read_bytes()
        case _:
            pass
    return [finished]


def generate(command: Generate) -> Iterator[Event]:
    name = command.request_id
    order, argument = order_in(command)
    if order == "refuse":
        yield failed(name)
        return
    if order == "fail":
        yield msgspec.structs.replace(
            failed(name), kind=argument, retry_after_s=3, requested=700, n_ctx=INFO.n_ctx
        )
        return
    yield Accepted(request_id=name)
    if order == "die":
        os.write(2, b"GGML_ASSERT(x) failed\n")
        os._exit(9)
    match, miss = (MATCH, MISS) if command.explain_cache else (None, None)
    yield Started(request_id=name, prompt_tokens=10, cached_tokens=8, match=match, miss=miss)
    for choice in range(command.n):
        yield TextDelta(request_id=name, text="Hi", choice=choice)
        if order == "break":
            if argument:
                Path(argument).read_bytes()
            yield failed(name)
            return
        if order == "wait":
            Path(argument).read_bytes()
        yield Finished(request_id=name, reason="stop", usage=USAGE, timings=TIMINGS, choice=choice)


def order_in(command: Generate | Prefill) -> tuple[str, str]:
    messages = json.loads(command.messages)
    said = str(messages[0]["content"]) if messages else ""  # else a raw prompt
    order, _, argument = said.partition(" ")
    return order, argument


def failed(request_id: str) -> Failed:
    return Failed(request_id=request_id, kind="TemplateRefused", message="no such role")


def stats(trouble: str = "") -> Stats:
    global counts
    counts = msgspec.structs.replace(COUNTS, trouble=trouble)
    return Stats(
        waiting=0,
        running=0,
        kv_tokens=0,
        idle_bytes=0,
        prefill_tokens_per_s=0.0,
        decode_tokens_per_s=0.0,
        cache=counts,
    )


if __name__ == "__main__":
    main(int(sys.argv[1]))
