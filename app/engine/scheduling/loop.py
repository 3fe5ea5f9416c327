"""Owns the hot loop: receive, admit, decode, sample, emit. It waits only when it has nothing to do.

`step` is the whole of it; everything per token that C can do is done in C.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from app.engine.decode.sampling import looks_back, stages
from app.engine.ipc.channel import Channel
from app.engine.kv.cache_report import cache_counts, cache_miss
from app.engine.kv.kv_cache import Hit, KvCache
from app.engine.kv.save_policy import SavePolicy
from app.engine.kv.sequences import Lease
from app.engine.llama import DECODE_ABORTED, DECODE_OK, BatchPart, Context, Model, Sampler
from app.engine.scheduling.command_handler import CommandHandler
from app.engine.scheduling.completion import RequestCompletion
from app.engine.scheduling.generation import Generation
from app.engine.scheduling.interrupt import Interrupt
from app.engine.scheduling.request import Request
from app.engine.scheduling.scheduler import Scheduler, Work
from app.engine.system.throughput import Throughput
from app.errors import EnvironmentFailure
from app.protocol import (
    Command,
    PromptProgress,
    Started,
    Stats,
)

_STATS_EVERY_S = 0.25
_WORTH_WATCHING_S = 0.1
_SAVE_AFTER_S = 0.03
_SAVED_S = 0.02


class EngineLoop:
    """Runs requests on one context until the HTTP process says stop or goes away."""

    def __init__(
        self,
        model: Model,
        context: Context,
        channel: Channel,
        command_handler: CommandHandler,
        scheduler: Scheduler,
        kv_cache: KvCache,
        save_policy: SavePolicy,
        throughput: Throughput,
        completion: RequestCompletion,
        generation: Generation,
        *,
        stream_interval_s: float = 0.0,
        poll_every_s: float = 0.02,
    ) -> None:
        self._model = model
        self._context = context
        self._channel = channel
        self._command_handler = command_handler
        self._scheduler = scheduler
        self._kv_cache = kv_cache
        self._save_policy = save_policy
        self._throughput = throughput
        self._completion = completion
        self._generation = generation
        self._stream_interval_s = stream_interval_s
        self._stats_s = 0.0
        self._sent_s = 0.0
        self._worked_s = 0.0
        self._interrupt = Interrupt(channel, poll_every_s)

    def request_ids(self) -> list[str]:
        """Return the requests that are worked on."""
        return list(dict.fromkeys(request.request_id for request in self._scheduler.running))

    def run(self, commands: list[Command]) -> None:
        """Work until `Shutdown`.

        Args:
            commands: what arrived together with `Load`.

        Raises:
            ChannelClosed: the HTTP process is gone.
            DecodeFailed: llama.cpp reported a fatal error.
        """
        scheduler, channel = self._scheduler, self._channel
        while True:
            if commands:
                self._send(now=True)
            for command in commands:
                for cancelled in self._command_handler.handle(command):
                    self._completion.retire(cancelled)
            if self._command_handler.shutdown:
                self._save_policy.save_all()
                self._completion.finish_saved()
                return
            self.step()
            self._save_policy.work_aside()
            if scheduler.is_idle and time.monotonic() - self._worked_s >= _SAVE_AFTER_S:
                self._save_policy.work_idle()  # however many questions come that are no work
            self._completion.finish_saved()
            self._report(is_due=scheduler.is_idle)
            self._send(now=bool(commands) or scheduler.is_idle)
            commands = self._interrupt.take()
            commands += self._wait() if scheduler.is_idle and not commands else channel.poll()

    def _send(self, *, now: bool) -> None:
        """Send what there is to say, or leave it for a moment if it is only more of an answer.

        Waking the HTTP process and the client for every token takes the processors away from
        llama.cpp; at more than 50 tokens a second nobody reads that fast.
        """
        now_s = time.monotonic()
        is_due = now_s - self._sent_s >= self._stream_interval_s
        if now or self._generation.is_urgent or self._completion.has_news or is_due:
            for request in self._scheduler.running:
                self._completion.tell_chosen(request)
            self._channel.flush()
            self._sent_s = now_s
            self._generation.is_urgent = self._completion.has_news = False

    def _wait(self) -> list[Command]:
        """Wait for commands; save prompts for later where none come for a moment."""
        while True:
            commands = self._channel.wait(_SAVE_AFTER_S)
            has_saved = not commands and self._save_policy.work_idle()
            if not commands and not has_saved:
                is_saving = self._completion.is_saving
                commands = self._channel.wait(
                    _SAVED_S if is_saving else self._save_policy.quiet_s()
                )
            if commands:
                return commands
            self._save_policy.work_aside()
            self._completion.finish_saved()
            self._report(is_due=has_saved)
            self._send(now=True)

    def step(self) -> None:
        """Decode one batch and hand out what it produced."""
        began_s = time.monotonic()
        self._completion.end_overdue(began_s)
        has_started = False
        for request, lease in self._scheduler.admit():
            self._start(request, lease)
            has_started = True
        if has_started:
            self._kv_cache.drop_saved()
        work = self._scheduler.plan(self._throughput.chunk(self._scheduler.n_generating))
        if any(item.request.n_prefill for item in work):  # such steps are long
            self._send(now=True)
        else:
            n_tokens = sum(item.n_tokens for item in work)
            self._generation.guess(work, self._context.n_batch - n_tokens)
        work = self._decode(work)
        n_prefill = sum(item.n_tokens for item in work if item.request.n_prefill)
        n_guessed = sum(len(item.request.guessed) for item in work)
        self._generation.is_urgent = self._generation.is_urgent or n_prefill > 0
        for request, row in self._record_all(work):
            if request.slot is not None:  # else it ended just now, with a sibling
                self._generation.advance(request, row)
        if work:
            self._worked_s = time.monotonic()
            seconds = self._worked_s - began_s
            n_decode = sum(item.n_tokens for item in work) - n_prefill
            self._throughput.measured(n_prefill, n_decode, seconds)
            if not n_prefill:
                self._generation.cost.measured(n_decode + n_guessed, seconds)

    def _record_all(self, work: list[Work]) -> list[tuple[Request, int]]:
        """Note what is in the KV cache now; return what can be sampled, with rows of the batch.

        All of it before anything is sampled: an answer that ends may be saved, and then the
        tokens of all sequences have to be what they hold.
        """
        ready = []
        row = -1
        for item in work:
            row += item.n_tokens
            if item.reaches_end:
                ready.append((item.request, row))
            row += len(item.request.guessed)
            self._record(item)
        # what was guessed is in the KV cache too, until it is judged
        return sorted(ready, key=lambda found: not found[0].guessed)

    def _start(self, request: Request, lease: Lease) -> None:
        """Bring the KV cache to what the lease promises and announce the request."""
        known = request.tokens[:-1] if request.max_new else request.tokens
        is_first = not request.clock.started_s
        if request.explains and is_first:
            detokenize = self._model.detokenize
            request.miss = cache_miss(self._kv_cache, lease, request.tokens, detokenize)
        hit = self._kv_cache.bring(lease, known)
        request.n_past = hit.n_tokens
        lease.slot.tokens = request.tokens[: request.n_past]
        if self._model.is_recurrent and request.n_past < request.n_head < len(known):
            request.checkpoint = request.n_head
        if is_first:
            self._announce(request, hit)
        if request.max_new == 0:
            if request.n_pending == 0:
                self._completion.finish(request, "stop")
            return
        if is_first:
            self._generation.begin(request)
        if request.sampler is None and request.slot is not None:
            sampler = Sampler(stages(request.sampling), self._model)
            if n_tokens := looks_back(request.sampling):
                sampler.accept(request.tokens[-n_tokens:])
            request.sampler = sampler

    def _announce(self, request: Request, hit: Hit) -> None:
        request.clock.started_s = time.monotonic()
        request.n_cached, request.tier, request.restore_ms = hit.n_tokens, hit.tier, hit.restore_ms
        if request.choice == 0:
            self._kv_cache.count(hit)
            self._save_policy.note(request.tokens[: request.n_prompt - 1], request.n_head, hit)
            self._channel.post(
                Started(
                    request_id=request.request_id,
                    prompt_tokens=request.n_prompt,
                    cached_tokens=request.n_cached,
                    miss=request.miss,
                )
            )

    def _decode(self, work: list[Work]) -> list[Work]:
        """Run the step and return what of it was run.

        Where the KV cache is full, idle sequences move out first, then guesses are left out, and
        then the youngest request is held back. A long step is given up when one of its prompts is
        cancelled.
        """
        while work:
            code = self._context.decode(_parts(work), self._watch(work))
            if code == DECODE_OK:
                break
            if code == DECODE_ABORTED:
                self._cut_back(work)
                return []
            if self._kv_cache.make_room() or _forget_guesses(work):
                continue
            if (held_back := self._scheduler.hold_back()) is not None:
                self._completion.tell_chosen(held_back)  # its text is on the way
                work = [item for item in work if item.request.slot is not None]
            else:
                self._completion.fail(work[0].request, EnvironmentFailure, "the KV cache is full")
                return []
        return work

    def _watch(self, work: list[Work]) -> Callable[[], bool] | None:
        """Return what may give a step up in the middle; None for a step that is soon over.

        A model whose memory cannot be cut would lose all of it, its neighbours' too.
        """
        prefilling = [item for item in work if item.request.n_prefill]
        seconds = sum(item.n_tokens for item in prefilling) / self._throughput.prefill_tokens_per_s
        if seconds < _WORTH_WATCHING_S or self._model.is_recurrent:
            return None
        self._interrupt.watch({item.request.request_id for item in prefilling})
        return self._interrupt.gives_up

    def _cut_back(self, work: list[Work]) -> None:
        """Bring the sequences of a step that was given up back to where they were."""
        for item in work:
            request, slot = item.request, item.request.slot
            if slot is not None:
                request.n_past = self._context.keep_prefix(slot.seq_id, request.n_past)
                slot.tokens = request.tokens[: request.n_past]

    def _record(self, item: Work) -> None:
        """Note that a request's tokens are in the KV cache now."""
        request, slot = item.request, item.request.slot
        start = request.n_past
        request.n_past = start + item.n_tokens
        if slot is not None:
            slot.tokens += request.tokens[start : request.n_past]
            if request.n_past == request.checkpoint:
                self._kv_cache.save_now(slot)
        if request.report_progress and not request.clock.first_token_s:
            self._channel.post(
                PromptProgress(
                    request_id=request.request_id,
                    total=request.n_prompt,
                    cache=request.n_cached,
                    processed=min(request.n_past, request.n_prompt),
                    time_ms=round((time.monotonic() - request.clock.started_s) * 1000.0, 3),
                )
            )

    def _report(self, *, is_due: bool) -> None:
        now_s = time.monotonic()
        if now_s - self._stats_s < _STATS_EVERY_S and not is_due:
            return
        self._stats_s = now_s
        for line in self._kv_cache.disk.take_news():
            self._channel.post(line)
        self._channel.post(
            Stats(
                waiting=len(self._scheduler.waiting),
                running=len(self._scheduler.running),
                kv_tokens=self._kv_cache.kv_tokens,
                idle_bytes=self._kv_cache.store.n_bytes,
                prefill_tokens_per_s=round(self._throughput.prefill_tokens_per_s, 1),
                decode_tokens_per_s=round(self._throughput.decode_tokens_per_s, 1),
                cache=cache_counts(self._kv_cache),
            )
        )


def _forget_guesses(work: list[Work]) -> bool:
    has_guesses = any(item.request.guessed for item in work)
    for item in work:
        item.request.guessed = []
    return has_guesses


def _parts(work: list[Work]) -> list[BatchPart]:
    parts = []
    for item in work:
        request, start = item.request, item.request.n_past
        if request.slot is None:
            raise RuntimeError("a running request has no sequence")
        tokens = request.tokens[start : start + item.n_tokens] + request.guessed
        n_logits = 1 + len(request.guessed) if item.reaches_end and request.max_new > 0 else 0
        parts.append(BatchPart(request.slot.seq_id, start, tokens, n_logits))
    return parts
