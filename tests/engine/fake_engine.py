"""Owns an engine without llama.cpp, and a client that follows a script.

The loop, scheduler, sequences and command handler are the real ones.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import cast

from app.base.json_types import JsonObject, as_json
from app.engine.changing_heads import ChangingHeads
from app.engine.constrain import GuidePlan
from app.engine.constrain.planner import ConstraintPlanner
from app.engine.decode.speculation import BatchCost
from app.engine.ipc.channel import Channel
from app.engine.ipc.outbox import Outbox
from app.engine.kv.disk_tier import Disk, DiskCacheTier
from app.engine.kv.kv_cache import KvCache
from app.engine.kv.memory_store import MemoryStore
from app.engine.kv.save_policy import SavePolicy
from app.engine.kv.sequences import SequencePool
from app.engine.llama import Context, Model
from app.engine.prompt.builder import PromptBuilder
from app.engine.scheduling.admission import Admission
from app.engine.scheduling.batch_runner import BatchRunner
from app.engine.scheduling.command_handler import CommandHandler
from app.engine.scheduling.completion import RequestCompletion
from app.engine.scheduling.generation import Generation
from app.engine.scheduling.interrupt import Interrupt
from app.engine.scheduling.loop import EngineLoop
from app.engine.scheduling.scheduler import Scheduler
from app.engine.scheduling.stats import StatsReporter
from app.engine.system.throughput import Throughput
from app.protocol import (
    CacheMark,
    Command,
    Event,
    Failed,
    Finished,
    Generate,
    Prefill,
    SamplingParams,
    Shutdown,
    Started,
    TextDelta,
)
from tests.engine.fake_llama import (
    END,
    MANY_MOMENTS,
    MANY_STEPS,
    CellCache,
    Follower,
    HistorySampler,
    LetterModel,
    TokenPrompts,
    Troubled,
    shape_of,
    shown,
    solo,
    solo_followed,
    tokens_of,
)


class NoGuidance:
    """Leaves all answers free."""

    solo = staticmethod(solo)

    def plan(
        self, command: Generate, prompt_text: str, offered: Sequence[JsonObject] = ()
    ) -> GuidePlan | None:
        return None

    def forget(self) -> None:
        pass


class FollowerGuidance(NoGuidance):
    """Holds all answers to the grammar of `Follower`."""

    solo = staticmethod(solo_followed)

    def plan(
        self, command: Generate, prompt_text: str, offered: Sequence[JsonObject] = ()
    ) -> GuidePlan | None:
        return GuidePlan(piece=lambda _: b"", tokenize=lambda _: [], whole=Follower())


class TroubledGuidance(NoGuidance):
    """Holds all answers to a grammar that is too much after a few tokens.

    Args:
        n_tokens: how many.
    """

    def __init__(self, n_tokens: int) -> None:
        self._n_tokens = n_tokens

    def plan(
        self, command: Generate, prompt_text: str, offered: Sequence[JsonObject] = ()
    ) -> GuidePlan | None:
        whole = Troubled(self._n_tokens)
        return GuidePlan(piece=lambda _: b"", tokenize=lambda _: [], whole=whole)


class SamplingCommands(CommandHandler):
    """Gives each request its sampler as it comes."""

    def __init__(
        self,
        prompts: TokenPrompts,
        scheduler: Scheduler,
        outbox: Outbox,
        throughput: Throughput,
        kv_cache: KvCache,
        save_policy: SavePolicy,
        heads: ChangingHeads,
        n_ctx: int,
        planner: NoGuidance,
        model: LetterModel,
        sampler: Callable[[int], HistorySampler],
    ) -> None:
        super().__init__(
            cast(Model, model),
            cast(PromptBuilder, prompts),
            cast(ConstraintPlanner, planner),
            scheduler,
            outbox,
            throughput,
            kv_cache,
            save_policy,
            heads,
            n_ctx=n_ctx,
        )
        self._queue = scheduler
        self.prompts = prompts
        self.dry = model.dry
        self._sampler = sampler
        self.samplers: list[HistorySampler] = []

    def handle(self, command: Command) -> None:
        super().handle(command)
        for request in self._queue.waiting:
            if request.max_new and request.sampler is None:
                sampler = self._sampler(request.sampling.seed or 0)
                self.samplers.append(sampler)
                request.sampler = sampler


class DicePace(Throughput):
    """Budgets from dice instead of a clock, so that a run can be repeated."""

    def __init__(self, dice: random.Random, n_batch: int) -> None:
        super().__init__(target_s=1.0, n_batch=n_batch)
        self._dice = dice

    def chunk(self, n_generating: int) -> int:
        return self._dice.randint(1, self._n_batch)

    def measured(self, n_prefill: int, n_decode: int, seconds: float) -> None:
        pass


class FlatCost(BatchCost):
    """A batch costs what a token does, so that there are guesses wherever there can be."""

    def measured(self, n_tokens: int, seconds: float) -> None:
        pass

    def of(self, n_tokens: int) -> float:
        return 1.0


# ---------------------------------------------------------------- the engine around it


class Engine:
    """A loop with a script for a client; the books are checked between any two steps.

    Args:
        script: commands that arrive before each step; the last ones are followed by `Shutdown`
            once the engine is idle.
        prompts: makes the prompts of conversations; by default see `TokenPrompts`.
        model: whose vocabulary it is; by default see `LetterModel`.
        sampler: returns what chooses tokens, for a seed.
    """

    def __init__(
        self,
        script: Sequence[Sequence[Command]],
        *,
        n_ctx: int = 1000,
        n_batch: int = 64,
        n_ubatch: int | None = None,
        parallel: int = 4,
        max_queue: int = 64,
        idle_bytes: int = 5000,
        can_cut: bool = True,
        n_window: int = 0,
        is_whole: bool = False,
        deadline_s: float | None = None,
        stream_interval_s: float = 0.0,
        disk: Disk | None = None,
        dice: random.Random | None = None,
        planner: NoGuidance | None = None,
        prompts: TokenPrompts | None = None,
        model: LetterModel | None = None,
        sampler: Callable[[int], HistorySampler] = HistorySampler,
    ) -> None:
        vocabulary = model or LetterModel(is_recurrent=not can_cut)
        self._planner = planner or NoGuidance()
        self._script = [list(commands) for commands in script]
        self._n_steps = 0
        self._n_quiet = 0
        self.n_ctx = n_ctx
        self.events: list[Event] = []
        self.sent: list[int] = []  # events sent after each flush
        self.cells = CellCache(
            n_ctx,
            n_batch,
            can_cut=can_cut,
            n_vocab=vocabulary.n_vocab,
            n_window=n_window,
            n_ubatch=n_ubatch,
        )
        self.pool = SequencePool(parallel)
        self.scheduler = Scheduler(
            self.pool,
            parallel=parallel,
            max_queue=max_queue,
            n_batch=n_batch,
            n_ctx=n_ctx,
            can_cut=can_cut and not n_window and not is_whole,
            n_cached=lambda tokens: self.kv_cache.n_in_memory(tokens),
        )
        throughput = DicePace(dice, n_batch) if dice else Throughput(target_s=1.0, n_batch=n_batch)
        channel = cast(Channel, self)
        self.outbox = outbox = Outbox(channel, stream_interval_s)
        interrupt = Interrupt(channel, poll_every_s=0.0)
        context = cast(Context, self.cells)
        shape = shape_of(can_cut=can_cut, n_window=n_window, is_whole=is_whole)
        store = MemoryStore(idle_bytes, shape)
        tier = DiskCacheTier(disk, shape)
        self.kv_cache = kv_cache = KvCache(
            context, self.pool, store, tier, throughput, shape=shape, can_cut=can_cut
        )
        save_policy = SavePolicy(kv_cache, save_after_s=0.0, min_boundary_tokens=4)
        self.prompts = prompts = prompts or TokenPrompts()
        self.heads = heads = ChangingHeads(
            vocabulary.shown_piece, lambda: throughput.prefill_tokens_per_s
        )
        self.command_handler = SamplingCommands(
            prompts,
            self.scheduler,
            outbox,
            throughput,
            kv_cache,
            save_policy,
            heads,
            n_ctx,
            self._planner,
            vocabulary,
            sampler,
        )
        engine_model = cast(Model, vocabulary)
        self.completion = completion = RequestCompletion(
            engine_model,
            prompts.turns,
            outbox,
            self.scheduler,
            save_policy,
            throughput,
            deadline_s=deadline_s,
        )
        self.generation = Generation(
            engine_model,
            context,
            outbox,
            completion,
            can_draft=can_cut,
            cost=FlatCost(),
        )
        self.loop = EngineLoop(
            channel,
            interrupt,
            outbox,
            self.command_handler,
            self.scheduler,
            Admission(
                engine_model,
                self.scheduler,
                kv_cache,
                save_policy,
                self.generation,
                completion,
                outbox,
                heads,
            ),
            BatchRunner(
                context,
                self.scheduler,
                kv_cache,
                throughput,
                self.generation,
                completion,
                outbox,
                interrupt,
            ),
            completion,
            save_policy,
            StatsReporter(self.scheduler, kv_cache, throughput, outbox, heads),
        )

    def run(self) -> Engine:
        self.loop.run([])
        self.check()
        assert self.scheduler.is_idle
        assert all(sampler.n_closed == 1 for sampler in self.command_handler.samplers)
        assert not any(slot.busy for slot in self.pool.slots)
        return self

    # the loop's channel

    def post(self, event: Event) -> None:
        self.events.append(event)

    def flush(self) -> None:
        self.sent.append(len(self.events))

    def wait(self, timeout_s: float | None = None) -> list[Command]:
        assert not self.events or self.sent[-1] == len(self.events), "nobody is kept waiting"
        if not self._script:
            self._n_quiet += 1
            is_over = timeout_s is None or self._n_quiet > MANY_MOMENTS
            return [Shutdown()] if is_over else self.poll()
        return self.poll()  # nothing comes for a moment, or the next part of the script

    def poll(self) -> list[Command]:
        self._n_steps += 1
        assert self._n_steps < MANY_STEPS, "it runs in circles"
        if not self.cells.in_step:
            self.check()
        return self._script.pop(0) if self._script else []

    # the books

    def check(self) -> None:
        running = self.scheduler.running
        slots = [item.slot for item in running if item.slot is not None]
        assert len(slots) == len(running), "a running request has a sequence"
        assert all(item.slot is None for item in self.scheduler.waiting)
        busy = [slot.seq_id for slot in self.pool.slots if slot.busy]
        assert sorted(slot.seq_id for slot in slots) == busy, "no two share one, none is lost"
        assert self.cells.n_used <= self.n_ctx
        for slot in self.pool.slots:
            assert slot.tokens == self.cells.tokens(slot.seq_id)
        for item in running:
            assert item.slot is not None
            assert item.slot.tokens == item.tokens[: item.n_past]

    # what came out

    def finished(self, request_id: str) -> list[Finished]:
        found = [item for item in self.events if isinstance(item, Finished)]
        mine = [item for item in found if item.request_id == request_id]
        return sorted(mine, key=lambda item: item.choice)

    def failed(self, request_id: str) -> list[Failed]:
        found = [item for item in self.events if isinstance(item, Failed)]
        return [item for item in found if item.request_id == request_id]

    def started(self) -> list[str]:
        return [item.request_id for item in self.events if isinstance(item, Started)]

    def text(self, request_id: str, choice: int = 0) -> str:
        deltas = [item for item in self.events if isinstance(item, TextDelta)]
        mine = (item for item in deltas if (item.request_id, item.choice) == (request_id, choice))
        return "".join(item.text for item in mine)

    def assert_answered(self, command: Generate) -> None:
        """Each answer is the one that its request gets alone, and is counted right."""
        request_id, prompt = command.request_id, tokens_of(command)
        room = self.n_ctx - len(prompt)
        ends = self.finished(request_id)
        assert [end.choice for end in ends] == list(range(command.n))
        for end in ends:
            limit = min(command.max_tokens or room, room)
            answer = self._planner.solo(prompt, (command.sampling.seed or 0) + end.choice, limit)
            assert self.text(request_id, end.choice) == shown(answer)
            assert end.usage.completion_tokens == len(answer)
            assert end.usage.prompt_tokens == len(prompt)
            assert end.reason == ("stop" if END in answer else "length")


def generate(
    request_id: str,
    prompt: list[int],
    max_tokens: int | None = 8,
    *,
    seed: int = 1,
    n: int = 1,
    speculate: bool = True,
    cache_marks: Sequence[CacheMark] = (),
) -> Generate:
    return Generate(
        request_id=request_id,
        messages=as_json([{"content": prompt}]),
        sampling=SamplingParams(seed=seed),
        max_tokens=max_tokens,
        n=n,
        speculate=speculate,
        cache_marks=list(cache_marks),
    )


def prefill(request_id: str, prompt: list[int]) -> Prefill:
    return Prefill(request_id=request_id, messages=as_json([{"content": prompt}]))


def endless(n_prompt: int, n_answer: int, start: int = 1) -> tuple[list[int], int]:
    """Return a prompt and a seed whose answer does not end before `n_answer` tokens."""
    prompt = [start] * n_prompt
    seed = next(seed for seed in range(200) if END not in solo(prompt, seed, n_answer))
    return prompt, seed
