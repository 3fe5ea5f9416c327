"""The loop keeps its books right whatever comes, and no answer depends on its neighbours.

The loop, scheduler, sequences and inbox are the real ones. In the place of llama.cpp stand a KV
cache of few cells and a sampler whose token is a function of everything its sequence holds.
"""

from __future__ import annotations

import random
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.chat.stream_parser import PlainParser
from app.engine.channel import Channel
from app.engine.disk_tier import Disk, DiskTier
from app.engine.endings import Endings
from app.engine.idle_store import IdleStore
from app.engine.inbox import Inbox
from app.engine.keeper import Keeper
from app.engine.llama import DECODE_ABORTED, DECODE_NO_KV_SLOT, DECODE_OK, BatchPart, Context, Model
from app.engine.loop import EngineLoop
from app.engine.pace import Pace
from app.engine.prompts import Prompt, PromptBuilder
from app.engine.request import Request
from app.engine.residency import Residency
from app.engine.scheduler import Scheduler
from app.engine.sequences import SequencePool
from app.engine.turns import Turns
from app.protocol import (
    Cancel,
    Command,
    Event,
    Failed,
    Finished,
    Generate,
    Prefill,
    PromptProgress,
    SamplingParams,
    Shutdown,
    Started,
    TextDelta,
)
from tests.engine.fake_disk import fake_disk

END = 0
N_VOCAB = 12
MANY_STEPS = 20_000
MANY_MOMENTS = 50


def next_token(seed: int, history: Sequence[int]) -> int:
    """The model: any token anywhere before changes what comes next."""
    return zlib.crc32(bytes([seed, *history])) % N_VOCAB


def solo(prompt: list[int], seed: int, max_new: int) -> list[int]:
    """Return the answer that a request gets when it is alone in the world."""
    tokens: list[int] = []
    while len(tokens) < max_new and END not in tokens:
        tokens.append(next_token(seed, [*prompt, *tokens]))
    return tokens


def shown(tokens: list[int]) -> str:
    return "".join(chr(ord("a") + token) for token in tokens if token != END)


# ---------------------------------------------------------------- in the place of llama.cpp


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """A place of the KV cache; several sequences may share it."""

    token: int


class CellCache:
    """What the loop needs of a context: `n_cells` cells for all sequences together.

    Args:
        can_cut: whether a sequence may lose its end; a recurrent model's cannot.
    """

    def __init__(self, n_cells: int, n_batch: int, *, can_cut: bool = True) -> None:
        self.n_cells = n_cells
        self.n_batch = n_batch
        self.can_cut = can_cut
        self.sequences: dict[int, list[Cell]] = defaultdict(list)
        self.rows: dict[int, list[int]] = {}
        self.n_decoded = 0
        self.n_full = 0
        self.n_given_up = 0
        self.in_step = False

    @property
    def n_used(self) -> int:
        return len({cell for cells in self.sequences.values() for cell in cells})

    def tokens(self, seq_id: int) -> list[int]:
        return [cell.token for cell in self.sequences[seq_id]]

    def decode(self, parts: Sequence[BatchPart], give_up: Callable[[], bool] | None = None) -> int:
        n_tokens = sum(len(part.tokens) for part in parts)
        assert 1 <= n_tokens <= self.n_batch
        assert all(part.tokens for part in parts)
        assert len({part.seq_id for part in parts}) == len(parts)
        for part in parts:
            assert part.start == len(self.sequences[part.seq_id]), "positions must not jump"
        if self.n_used + n_tokens > self.n_cells:
            self.n_full += 1
            return DECODE_NO_KV_SLOT
        if give_up is not None and self._is_given_up(parts, give_up):
            return DECODE_ABORTED
        self.rows = {}
        row = -1
        for part in parts:
            self.sequences[part.seq_id] += map(Cell, part.tokens)
            row += len(part.tokens)
            if part.wants_logits:
                self.rows[row] = self.tokens(part.seq_id)
        self.n_decoded += n_tokens
        return DECODE_OK

    def _is_given_up(self, parts: Sequence[BatchPart], give_up: Callable[[], bool]) -> bool:
        """Ask in the middle of the step, when some parts are in the cache already."""
        assert self.can_cut, "nothing could be undone"
        for part in parts:
            self.sequences[part.seq_id] += map(Cell, part.tokens)
        self.in_step = True
        is_given_up = give_up()
        self.in_step = False
        if is_given_up:
            self.n_given_up += 1
            return True
        for part in parts:
            del self.sequences[part.seq_id][part.start :]
        return False

    def keep_prefix(self, seq_id: int, n_keep: int) -> int:
        if n_keep < len(self.sequences[seq_id]) and not self.can_cut:
            n_keep = 0
        self.sequences[seq_id] = self.sequences[seq_id][:n_keep]
        return n_keep

    def copy_prefix(self, source: int, target: int, n_keep: int) -> int:
        self.sequences[target] = list(self.sequences[source])
        return self.keep_prefix(target, n_keep)

    def clear(self, seq_id: int) -> None:
        self.sequences[seq_id] = []

    def state_bytes(self, seq_id: int) -> int:
        return len(self.sequences[seq_id])

    def save_state(self, seq_id: int) -> bytearray:
        return bytearray(self.tokens(seq_id))

    def load_state(self, seq_id: int, state: bytearray) -> bool:
        assert not self.sequences[seq_id], "a state needs a clear sequence"
        if self.n_used + len(state) > self.n_cells:
            return False
        self.sequences[seq_id] = [Cell(token) for token in state]
        return True


class HistorySampler:
    """Chooses by `next_token`; belongs to one request."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self.n_closed = 0

    def sample(self, context: Any, row: int) -> int:
        assert not self.n_closed
        return next_token(self._seed, context.rows[row])

    def close(self) -> None:
        self.n_closed += 1


class LetterModel:
    """Each token is a letter."""

    def __init__(self, *, is_recurrent: bool) -> None:
        self.is_recurrent = is_recurrent

    def is_end(self, token: int) -> bool:
        return token == END

    def piece(self, token: int) -> bytes:
        return shown([token]).encode()

    def shown_piece(self, token: int) -> bytes:
        return b"." if token == END else self.piece(token)

    def detokenize(self, tokens: list[int]) -> str:
        return b"".join(map(self.shown_piece, tokens)).decode()


class TokenPrompts:
    """A conversation is one message whose content is the prompt's tokens."""

    def __init__(self) -> None:
        self.turns = Turns(str)

    def build(self, command: Generate | Prefill) -> Prompt:
        tokens = list(command.messages[0]["content"])
        return Prompt(tokens, shown(tokens), n_head=len(tokens) // 2)

    def parser(self, command: Generate) -> PlainParser:
        return PlainParser()


class SamplingInbox(Inbox):
    """Gives each request its sampler as it comes."""

    def __init__(
        self,
        scheduler: Scheduler,
        channel: Channel,
        pace: Pace,
        residency: Residency,
        n_ctx: int,
    ) -> None:
        model, prompts = (
            cast(Model, LetterModel(is_recurrent=False)),
            cast(PromptBuilder, TokenPrompts()),
        )
        super().__init__(model, prompts, scheduler, channel, pace, residency, n_ctx=n_ctx)
        self._queue = scheduler
        self.samplers: list[HistorySampler] = []

    def handle(self, command: Command) -> list[Request]:
        found = super().handle(command)
        for request in self._queue.waiting:
            if request.max_new and request.sampler is None:
                sampler = HistorySampler(request.sampling.seed or 0)
                self.samplers.append(sampler)
                request.sampler = sampler
        return found


class DicePace(Pace):
    """Budgets from dice instead of a clock, so that a run can be repeated."""

    def __init__(self, dice: random.Random, n_batch: int) -> None:
        super().__init__(target_s=1.0, n_batch=n_batch)
        self._dice = dice

    def chunk(self, n_generating: int) -> int:
        return self._dice.randint(1, self._n_batch)

    def measured(self, n_prefill: int, n_decode: int, seconds: float) -> None:
        pass


# ---------------------------------------------------------------- the engine around it


class Engine:
    """A loop with a script for a client; the books are checked between any two steps.

    Args:
        script: commands that arrive before each step; the last ones are followed by `Shutdown`
            once the engine is idle.
    """

    def __init__(
        self,
        script: Sequence[Sequence[Command]],
        *,
        n_ctx: int = 1000,
        n_batch: int = 64,
        parallel: int = 4,
        max_queue: int = 64,
        idle_bytes: int = 100,
        can_cut: bool = True,
        deadline_s: float | None = None,
        stream_interval_s: float = 0.0,
        disk: Disk | None = None,
        dice: random.Random | None = None,
    ) -> None:
        self._script = [list(commands) for commands in script]
        self._n_steps = 0
        self._n_quiet = 0
        self.n_ctx = n_ctx
        self.events: list[Event] = []
        self.sent: list[int] = []  # events sent after each flush
        self.cells = CellCache(n_ctx, n_batch, can_cut=can_cut)
        self.pool = SequencePool(parallel)
        self.scheduler = Scheduler(
            self.pool, parallel=parallel, max_queue=max_queue, n_batch=n_batch, n_ctx=n_ctx
        )
        pace = DicePace(dice, n_batch) if dice else Pace(target_s=1.0, n_batch=n_batch)
        channel = cast(Channel, self)
        tier = DiskTier()
        if disk:
            tier.use(disk)
        residency = Residency(
            cast(Context, self.cells),
            self.pool,
            IdleStore(idle_bytes, can_cut=can_cut),
            tier,
            can_cut=can_cut,
        )
        self.inbox = SamplingInbox(self.scheduler, channel, pace, residency, n_ctx)
        keeper = Keeper(residency, save_after_s=0.0, min_boundary_tokens=4)
        endings = Endings(
            channel, self.scheduler, keeper, pace, self.inbox.remember, deadline_s=deadline_s
        )
        self.loop = EngineLoop(
            cast(Model, LetterModel(is_recurrent=not can_cut)),
            cast(Context, self.cells),
            channel,
            self.inbox,
            self.scheduler,
            residency,
            keeper,
            pace,
            endings,
            stream_interval_s=stream_interval_s,
            poll_every_s=0.0,
        )

    def run(self) -> Engine:
        self.loop.run([])
        self.check()
        assert self.scheduler.is_idle
        assert all(sampler.n_closed == 1 for sampler in self.inbox.samplers)
        assert not any(slot.busy for slot in self.pool.slots)
        return self

    # the loop's channel

    def post(self, event: Event) -> None:
        self.events.append(event)

    def flush(self) -> None:
        self.sent.append(len(self.events))

    def wait(self, timeout_s: float | None = None) -> list[Command]:
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
        request_id, prompt = command.request_id, command.messages[0]["content"]
        room = self.n_ctx - len(prompt)
        ends = self.finished(request_id)
        assert [end.choice for end in ends] == list(range(command.n))
        for end in ends:
            limit = min(command.max_tokens or room, room)
            answer = solo(prompt, (command.sampling.seed or 0) + end.choice, limit)
            assert self.text(request_id, end.choice) == shown(answer)
            assert end.usage.completion_tokens == len(answer)
            assert end.usage.prompt_tokens == len(prompt)
            assert end.reason == ("stop" if END in answer else "length")


def generate(
    request_id: str, prompt: list[int], max_tokens: int | None = 8, *, seed: int = 1, n: int = 1
) -> Generate:
    return Generate(
        request_id=request_id,
        messages=[{"content": prompt}],
        sampling=SamplingParams(seed=seed),
        max_tokens=max_tokens,
        n=n,
    )


def prefill(request_id: str, prompt: list[int]) -> Prefill:
    return Prefill(request_id=request_id, messages=[{"content": prompt}])


def endless(n_prompt: int, n_answer: int, start: int = 1) -> tuple[list[int], int]:
    """Return a prompt and a seed whose answer does not end before `n_answer` tokens."""
    prompt = [start] * n_prompt
    seed = next(seed for seed in range(200) if END not in solo(prompt, seed, n_answer))
    return prompt, seed


# ---------------------------------------------------------------- one thing at a time


def test_requests_that_run_together_answer_as_they_would_alone() -> None:
    commands = [generate(str(number), [1, 2, number], seed=number) for number in range(1, 5)]
    engine = Engine([commands]).run()
    for command in commands:
        engine.assert_answered(command)


def test_answers_to_one_prompt_prefill_it_once() -> None:
    prompt, n_answers = [1] * 50, 3
    command = generate("a", prompt, 1, n=n_answers)
    engine = Engine([[command]]).run()
    engine.assert_answered(command)
    assert engine.cells.n_decoded == len(prompt) - 1 + n_answers
    assert [end.usage.cached_tokens for end in engine.finished("a")] == [0, 49, 49]
    assert engine.started() == ["a"], "a command starts once"


def test_answers_share_a_prompt_that_leaves_no_room_for_copies_of_it() -> None:
    command = generate("a", [1] * 80, 5, n=4)
    engine = Engine([[command]], n_ctx=100).run()
    engine.assert_answered(command)


def test_an_idle_sequence_leaves_the_cache_when_another_request_starts() -> None:
    before, (prompt, seed) = generate("a", [2] * 60, 1), endless(60, 10)
    after = generate("b", prompt, 10, seed=seed)
    engine = Engine([[before], [], [], [], [after]], n_ctx=100).run()
    assert engine.cells.n_full == 0
    assert engine.cells.n_used < 60 + 60
    for command in (before, after):
        engine.assert_answered(command)


@pytest.mark.parametrize("parallel", [1, 4])
def test_a_conversation_that_left_the_cache_comes_back_without_prefill(parallel: int) -> None:
    first, other = generate("a", [1] * 60, 1), generate("b", [2] * 60, 1)
    again = generate("c", [1] * 60 + [3] * 5, 1)
    script: list[list[Command]] = [[first], [], [], [], [other], [], [], [], [again]]
    engine = Engine(script, n_ctx=100, parallel=parallel, idle_bytes=200).run()
    assert engine.finished("c")[0].usage.cached_tokens == 60
    engine.assert_answered(again)


def test_without_memory_for_idle_conversations_they_are_forgotten() -> None:
    first, other = generate("a", [1] * 60, 1), generate("b", [2] * 60, 1)
    again = generate("c", [1] * 60, 1)
    script: list[list[Command]] = [[first], [], [], [], [other], [], [], [], [again]]
    engine = Engine(script, idle_bytes=0, parallel=1).run()
    assert engine.finished("c")[0].usage.cached_tokens == 0
    engine.assert_answered(again)


def test_a_full_cache_pauses_the_youngest_and_all_answers_are_whole() -> None:
    older, younger = endless(30, 40), endless(30, 40, start=2)
    commands = [
        generate("older", older[0], 40, seed=older[1]),
        generate("younger", younger[0], 40, seed=younger[1]),
    ]
    engine = Engine([[commands[0]], [commands[1]]], n_ctx=100).run()
    assert engine.cells.n_full > 0
    assert engine.started() == ["older", "younger"], "a pause is no new start"
    assert [e.request_id for e in engine.events if isinstance(e, Finished)] == ["older", "younger"]
    for command in commands:
        engine.assert_answered(command)


def test_quick_tokens_leave_together_but_the_first_and_the_last_at_once() -> None:
    prompt, seed = endless(10, 30)
    command = generate("a", prompt, 30, seed=seed)
    each = Engine([[command]]).run()
    together = Engine([[command]], stream_interval_s=3600.0).run()
    together.assert_answered(command)
    assert len(each.sent) >= 30
    assert len(set(together.sent)) <= 7
    assert together.sent[-1] == len(together.events)
    first = next(at for at, event in enumerate(together.events) if isinstance(event, TextDelta))
    assert first + 1 in together.sent, "the first token leaves alone"


def test_a_request_may_fill_the_whole_context() -> None:
    prompt, seed = endless(10, 30)
    command = generate("a", prompt, None, seed=seed)
    engine = Engine([[command]], n_ctx=40).run()
    engine.assert_answered(command)
    assert engine.finished("a")[0].reason == "length"


@pytest.mark.parametrize("can_cut", [True, False])
def test_a_cancel_ends_a_long_step_and_others_go_on(can_cut: bool) -> None:
    cancelled, other = generate("a", [1] * 300), generate("b", [2] * 200)
    engine = Engine(
        [[cancelled, other], [Cancel(request_id="a")]], n_batch=256, can_cut=can_cut
    ).run()
    assert engine.cells.n_given_up == (1 if can_cut else 0)
    assert engine.finished("a") == []
    engine.assert_answered(other)


def test_cancels_of_others_end_no_step_and_no_two_steps_in_a_row_are_given_up() -> None:
    prompts = {name: generate(name, [number] * 200) for number, name in enumerate("abcd", 1)}
    script: list[list[Command]] = [list(prompts.values()), [Cancel(request_id="nobody")]]
    script += [[Cancel(request_id=name)] for name in "abc"]
    engine = Engine(script, n_batch=64).run()
    assert engine.cells.n_given_up < 3
    assert engine.cells.n_decoded >= 199
    engine.assert_answered(prompts["d"])


def test_a_request_that_arrives_in_the_last_step_of_another_is_not_forgotten() -> None:
    engine = Engine([[prefill("a", [1] * 60)], [generate("b", [2] * 5)]], n_batch=256).run()
    assert engine.finished("b")


def test_what_arrives_in_a_long_step_is_done_after_it() -> None:
    long, short = generate("a", [1] * 300), generate("b", [2] * 3)
    engine = Engine([[long], [short]], n_batch=256).run()
    assert engine.cells.n_given_up == 0
    for command in (long, short):
        engine.assert_answered(command)


def test_a_cancelled_command_ends_all_its_answers_and_no_other() -> None:
    long = generate("a", [1] * 300, n=3)
    other = generate("b", [2] * 5)
    script: list[list[Command]] = [[long, other], [], [Cancel(request_id="a")]]
    engine = Engine(script, n_batch=16).run()
    assert engine.finished("a") == []
    engine.assert_answered(other)


def test_an_unknown_request_is_cancelled_in_vain() -> None:
    command = generate("a", [1])
    engine = Engine([[command, Cancel(request_id="b")]]).run()
    engine.assert_answered(command)


def test_a_full_queue_refuses_the_command_as_a_whole_and_says_when_to_come_back() -> None:
    fits, too_many = generate("a", [1] * 9), generate("c", [1] * 9, n=3)
    engine = Engine([[fits, generate("b", [2]), too_many]], parallel=1, max_queue=2).run()
    (failed,) = engine.failed("c")
    assert failed.kind == "QueueFull"
    assert failed.retry_after_s is not None
    assert failed.retry_after_s >= 1
    assert engine.finished("c") == []
    engine.assert_answered(fits)


def test_a_deadline_ends_running_and_waiting_requests_with_one_error_each() -> None:
    commands = [generate("a", [1] * 9, n=3), generate("b", [2])]
    engine = Engine([commands], parallel=1, deadline_s=1e-9).run()
    for command in commands:
        (failed,) = engine.failed(command.request_id)
        assert failed.kind == "DeadlineExceeded"
        assert engine.finished(command.request_id) == []


def test_progress_is_reported_to_the_end_of_the_prompt_and_to_nobody_else() -> None:
    asking = Generate(
        request_id="a",
        messages=[{"content": [1] * 40}],
        sampling=SamplingParams(seed=1),
        max_tokens=2,
        n=2,
        report_progress=True,
    )
    engine = Engine([[asking, generate("b", [2] * 40)]], n_batch=16).run()
    seen = [event for event in engine.events if isinstance(event, PromptProgress)]
    processed = [event.processed for event in seen]
    assert {(event.request_id, event.total) for event in seen} == {("a", 40)}
    assert processed == sorted(set(processed))
    assert processed[-1] == 40


def test_a_prompt_kept_ready_is_there_for_the_answer() -> None:
    ready, command = prefill("a", [1, 2, 3]), generate("b", [1, 2, 3, 4, 5])
    engine = Engine([[ready], [], [], [command]]).run()
    assert engine.finished("a")[0].usage.completion_tokens == 0
    assert engine.finished("b")[0].usage.cached_tokens == 3
    engine.assert_answered(command)


def test_a_batch_smaller_than_the_number_of_running_answers_serves_them_all() -> None:
    commands = [generate(str(number), [number]) for number in range(1, 5)]
    engine = Engine([commands], n_batch=2, parallel=4).run()
    for command in commands:
        engine.assert_answered(command)


# ---------------------------------------------------------------- the disk tier


@pytest.mark.parametrize("can_cut", [True, False])
def test_what_an_engine_knew_at_its_end_is_known_to_the_next(can_cut: bool) -> None:
    disk, store = fake_disk(can_cut=can_cut, dice=None)
    before = generate("a", [1] * 20)
    first = Engine([[before]], disk=disk, can_cut=can_cut, idle_bytes=0).run()
    history = [1] * 20 + solo([1] * 20, 1, 8)
    known = [token for token in history if token != END]
    assert any(held[: len(known) - 1] == tuple(known[:-1]) for held in store.entries)
    after = generate("b", [*known, 2, 2, 2])
    engine = Engine([[after]], disk=disk, can_cut=can_cut, idle_bytes=0).run()
    end = engine.finished("b")[0]
    assert end.timings.tier == "disk"
    assert end.usage.cached_tokens >= first.finished("a")[0].usage.prompt_tokens
    engine.assert_answered(after)


@pytest.mark.parametrize("can_cut", [True, False])
def test_conversations_that_begin_alike_share_their_head(can_cut: bool) -> None:
    disk, store = fake_disk(can_cut=can_cut, dice=None)
    head = [1, 2, 3] * 8  # half of each prompt is its head
    Engine([[generate("a", [*head, *[1] * 24])], [], [], []], disk=disk, can_cut=can_cut).run()
    assert tuple(head) in store.entries
    command = generate("b", [*head, *[2] * 24])
    engine = Engine([[command]], disk=disk, can_cut=can_cut).run()
    assert engine.finished("b")[0].usage.cached_tokens >= len(head)
    engine.assert_answered(command)


def test_a_prefill_ends_when_its_prompt_is_on_the_disk() -> None:
    disk, store = fake_disk(can_cut=True, dice=None)
    engine = Engine([[prefill("a", [1] * 9)], [], [prefill("b", [1] * 9)]], disk=disk).run()
    assert [end.saved for name in "ab" for end in engine.finished(name)] == [True, True]
    assert list(store.entries) == [(1,) * 9]
    assert not Engine([[prefill("a", [1] * 9)]]).run().finished("a")[0].saved


# ---------------------------------------------------------------- any workload


def any_command(dice: random.Random, request_id: str, n_ctx: int) -> Generate | Prefill:
    stem = [1, 2] * n_ctx
    n_prompt = dice.randrange(1, n_ctx)
    n_shared = dice.randrange(n_prompt + 1)
    prompt = stem[:n_shared] + [dice.randrange(1, 4) for _ in range(n_prompt - n_shared)]
    if dice.random() < 0.1:
        return prefill(request_id, prompt)
    max_tokens = dice.choice([None, 1, 3, 10])
    return generate(request_id, prompt, max_tokens, seed=dice.randrange(9), n=dice.choice([1, 3]))


@settings(max_examples=200)
@given(
    seed=st.integers(0, 2**32),
    n_ctx=st.integers(8, 60),
    n_batch=st.integers(4, 32),
    parallel=st.integers(1, 4),
    max_queue=st.sampled_from([0, 3, 64]),
    idle_bytes=st.sampled_from([0, 20, 1000]),
    can_cut=st.booleans(),
    has_disk=st.booleans(),
)
def test_any_workload_is_answered_as_if_each_request_were_alone(
    seed: int,
    n_ctx: int,
    n_batch: int,
    parallel: int,
    max_queue: int,
    idle_bytes: int,
    can_cut: bool,
    has_disk: bool,
) -> None:
    dice = random.Random(seed)
    commands = [any_command(dice, str(number), n_ctx) for number in range(dice.randrange(1, 12))]
    cancelled = {item.request_id for item in commands if dice.random() < 0.15}
    script: list[list[Command]] = [[] for _ in range(60)]
    for command in commands:
        at = dice.randrange(30)
        script[at].append(command)
        if command.request_id in cancelled:
            script[at + dice.randrange(30)].append(Cancel(request_id=command.request_id))
    engine = Engine(
        script,
        n_ctx=n_ctx,
        n_batch=n_batch,
        parallel=parallel,
        max_queue=max_queue,
        idle_bytes=idle_bytes,
        can_cut=can_cut,
        disk=fake_disk(can_cut=can_cut, dice=dice)[0] if has_disk else None,
        dice=dice,
    ).run()

    ends = Counter(event.request_id for event in engine.events if isinstance(event, Finished))
    for command in commands:
        request_id = command.request_id
        failures = [failure.kind for failure in engine.failed(request_id)]
        n_answers = command.n if isinstance(command, Generate) else 1
        if failures:
            assert (failures, ends[request_id]) == (["QueueFull"], 0)
        elif request_id in cancelled:
            assert ends[request_id] <= n_answers
        elif isinstance(command, Generate):
            engine.assert_answered(command)
        else:
            assert ends[request_id] == 1


@pytest.mark.parametrize("max_queue", [0, 64])
def test_nothing_is_left_after_many_abandoned_requests(max_queue: int) -> None:
    dice = random.Random(5)
    script: list[list[Command]] = []
    for number in range(500):
        command = any_command(dice, str(number), 50)
        script += [[command], *([] for _ in range(dice.randrange(3)))]
        script[-1].append(Cancel(request_id=command.request_id))
    last = generate("last", [3] * 20)
    engine = Engine([*script, [last]], n_ctx=50, max_queue=max_queue, dice=dice).run()
    engine.assert_answered(last)
