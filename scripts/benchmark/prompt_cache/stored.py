"""Owns the scenarios of the disk: restarts, model switches, and how much is written."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from scripts.benchmark.disk_folder import disk_folder
from scripts.benchmark.measurements.switch import NAMES, under_two_names
from scripts.benchmark.prompt_cache import targets
from scripts.benchmark.prompt_cache.bench import (
    DISK,
    TIMED_SIZES,
    Bench,
    Texts,
    wait_until_written,
    warm_up,
)
from scripts.benchmark.prompt_cache.footprint import state_bytes, token_bytes
from scripts.benchmark.prompt_cache.rows import Row
from scripts.benchmark.prompt_cache.talk import Asked, Talk, Talker
from scripts.benchmark.server import ServerUnderTest

_QUESTION = "Why?"  # what is new costs time too, and the bounds are for what is not
_QUESTION_AGAIN = "Who?"  # the same from memory tells what is not the disk's part
# What a token weighs in Qwen3-0.6B; the other widths do not matter for that.
_QWEN3_06B = {"n_layer": 28, "n_head_kv": 8, "n_embd_head": 128, "n_head": 8, "n_ff": 256}
_TURN_TOKENS = 120  # of a question; with the answer and the turns' marks some 150
_N_TURNS = 6


class Service:
    """Our server on a folder that outlives it."""

    def __init__(self, bench: Bench, model: Path, folder: Path, n_ctx: int) -> None:
        self._bench, self._model, self._folder, self._n_ctx = bench, model, folder, n_ctx
        self.server = self._start()
        self.talker = Talker(self.server)
        warm_up(self.talker)

    def _start(self) -> ServerUnderTest:
        settings = DISK | {"cache_dir": str(self._folder)}
        return self._bench.ours(self._model, self._n_ctx, **settings)

    def restart(self) -> None:
        """Wait until all is written, kill all processes and start again."""
        wait_until_written(self.server.client)
        self.server.kill()
        self.server.close()
        self.server = self._start()
        self.talker.reach(self.server)

    def close(self) -> None:
        """End the server."""
        self.server.close()


@contextmanager
def service(bench: Bench, model: Path, n_ctx: int = 16384) -> Iterator[Service]:
    """Start our server on a folder of its own."""
    with disk_folder() as folder, ExitStack() as stack:
        running = Service(bench, model, folder, n_ctx)
        stack.callback(running.close)
        yield running


def restart(bench: Bench, shape: str) -> list[Row]:
    """After kill -9 and a start: the next turn and a new conversation, 600 and 4,000 tokens."""
    rows = []
    with service(bench, bench.model(shape, **TIMED_SIZES)) as running:
        for n_tokens, bound in targets.RESTARTED.items():
            texts = Texts(running.server.client)
            talk = Talk(running.talker, texts.text(n_tokens))
            cold = talk.say("Hello")
            running.restart()
            new = Talk(running.talker, talk.system).say(_QUESTION)
            hit = Talk(running.talker, talk.system).say(_QUESTION_AGAIN)
            running.restart()
            on = talk.say(_QUESTION)
            for name, asked in (("new", new), ("goes on", on)):
                label = f"restart ({n_tokens}), {name}"
                share = asked.ttft_ms / cold.ttft_ms
                told = f"{_told(asked, cold)}; a new one from memory: {hit.ttft_ms:.0f} ms"
                rows.append(Row(shape, label, "of cold", share, None, [bound], told))
                rows.append(_missed(shape, label, asked))
            label = f"restore from disk ({n_tokens})"
            bounds = targets.no_more_than(bench.baseline.get((shape, label)))
            rows.append(Row(shape, label, "ms", new.restore_ms, None, bounds, _told(new, cold)))
    return rows


def restart_eight(bench: Bench, shape: str) -> list[Row]:
    """A restart after eight conversations with one head: a new one, and one that goes on."""
    with service(bench, bench.model(shape)) as running:
        texts = Texts(running.server.client)
        talks = [texts.talk(running.talker)]
        talks += [texts.talk(running.talker, talks[0].system) for _ in range(7)]
        for number, talk in enumerate(talks):
            talk.say(f"I am number {number}.")
            talk.say("Go on.")
        running.restart()
        # It shares some more words with every stored turn than with the head alone.
        new = texts.talk(running.talker, talks[0].system).say("I am number 90.")
        on = [talk.say("Who am I?") for talk in talks]
    worst = max(on, key=lambda asked: asked.n_missed)
    return [
        _missed(shape, "restart with 8 on disk, new", new),
        _missed(shape, "restart with 8 on disk, worst of those that go on", worst),
    ]


def switch(bench: Bench, shape: str) -> list[Row]:
    """A conversation goes on after the model was switched there and back."""
    with disk_folder() as folder:
        models = under_two_names(bench.model(shape, **TIMED_SIZES), folder)
        settings = DISK | {"cache_dir": str(folder / "cache")}
        with bench.ours(models / NAMES[0], **settings) as server:
            talker = Talker(server)
            warm_up(talker)
            talk = Talk(talker, Texts(server.client).text(600))
            cold = talk.say("Hello")
            for name in reversed(NAMES):
                server.client.post("/setModel", {"model_name": name})
            after = talk.say(_QUESTION)
    name, share = "switch there and back", after.ttft_ms / cold.ttft_ms
    return [
        Row(shape, name, "of cold", share, None, [targets.SWITCHED], _told(after, cold)),
        _missed(shape, name, after),
    ]


def writes(bench: Bench, shape: str) -> list[Row]:
    """Six turns of some 150 tokens, each written before the next: what the disk takes."""
    sizes: dict[str, int] = _QWEN3_06B if shape == "qwen3" else {}
    with service(bench, bench.model(shape, **sizes), 4096) as running:
        texts = Texts(running.server.client)
        talk = texts.talk(running.talker)
        before = talk.say("Hello")
        client = running.server.client
        taken = [wait_until_written(client)]
        asked = before
        for _ in range(_N_TURNS):
            asked = talk.say(texts.text(_TURN_TOKENS))
            taken.append(wait_until_written(client))
    n_tokens = asked.n_prompt - before.n_prompt
    each = [(after - start) / 1e6 for start, after in itertools.pairwise(taken)]
    parts = token_bytes(shape, **sizes), state_bytes(shape, **sizes)
    bounds = [targets.written_mb(n_tokens, *parts, _N_TURNS)]
    if shape == "qwen3":
        bounds.append(targets.SIX_TURNS_MB)
    details = f"{n_tokens} tokens; MB a turn: " + " ".join(f"{size:.1f}" for size in each)
    return [Row(shape, "written in 6 turns", "MB", sum(each), None, bounds, details)]


def _missed(shape: str, name: str, asked: Asked) -> Row:
    bounds = [targets.MISSED]
    return Row(shape, name, "missed", asked.n_missed, None, bounds, str(asked))


def _told(asked: Asked, cold: Asked) -> str:
    times = f"{asked.ttft_ms:.0f} of {cold.ttft_ms:.0f} ms, restored in {asked.restore_ms:.1f} ms"
    return f"{asked}; {times}; {asked.cpu_ms / cold.cpu_ms:.3f} of the CPU time"
