"""Owns one step of the engine: the batch, its decoding, and the results."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from app.engine.ipc.outbox import Outbox
from app.engine.kv.kv_cache import KvCache
from app.engine.kv.sequences import Slot
from app.engine.llama import DECODE_ABORTED, DECODE_OK, BatchPart, Context
from app.engine.scheduling.completion import RequestCompletion
from app.engine.scheduling.generation import Generation
from app.engine.scheduling.interrupt import Interrupt
from app.engine.scheduling.request import Request
from app.engine.scheduling.scheduler import Scheduler, Work
from app.engine.system.throughput import Throughput
from app.errors import EnvironmentFailure
from app.protocol import PromptProgress

_WORTH_WATCHING_S = 0.1


class BatchRunner:
    """Plans batches, decodes them and takes in their results.

    Args:
        context: decodes.
        scheduler: divides the batch among the running requests.
        kv_cache: makes room where the batch does not fit.
        throughput: sizes prefill, and learns from each step.
        generation: turns logits into tokens.
        completion: ends requests that do not fit.
        outbox: takes progress events.
        interrupt: says whether a long step is to be aborted.
    """

    def __init__(
        self,
        context: Context,
        scheduler: Scheduler,
        kv_cache: KvCache,
        throughput: Throughput,
        generation: Generation,
        completion: RequestCompletion,
        outbox: Outbox,
        interrupt: Interrupt,
    ) -> None:
        self._context = context
        self._scheduler = scheduler
        self._kv_cache = kv_cache
        self._throughput = throughput
        self._generation = generation
        self._completion = completion
        self._outbox = outbox
        self._interrupt = interrupt

    def plan(self) -> list[Work]:
        """Return the next batch, with draft tokens where nothing is prefilled.

        Prompts come first: where the step is aborted between two physical batches, the last
        tokens of answers, which could not be kept without their logits, are not decoded yet.
        """
        work = self._scheduler.plan(self._throughput.chunk(self._scheduler.n_generating))
        if not any(item.is_prefill for item in work):
            self._generation.draft(work)
            return work
        return sorted(work, key=lambda item: not item.is_prefill)

    def decode(self, work: list[Work]) -> list[Work]:
        """Decode a batch and return what of it was decoded.

        Where the KV cache is full, idle sequences move out first, then drafts are dropped, and
        then the youngest request is preempted. A long step is aborted when one of its prompts is
        cancelled.

        Raises:
            DecodeFailed: llama.cpp reported a fatal error.
        """
        while work:
            code = self._context.decode(_parts(work), self._abort_callback(work))
            if code == DECODE_OK:
                break
            if code == DECODE_ABORTED:
                self._roll_back(work)
                return []
            if self._kv_cache.make_room() or _drop_drafts(work):
                continue
            if (preempted := self._scheduler.preempt()) is not None:
                self._completion.post_chosen(preempted)  # its text is on the way
                work = [item for item in work if item.request.slot is not None]
                # it may have had the whole batch: those before it go on, or neither ever would
                work = work or self.plan()
            else:
                self._completion.fail(work[0].request, EnvironmentFailure, "the KV cache is full")
                return []
        return work

    def take_in(self, work: Sequence[Work], began_s: float) -> None:
        """Record what is in the KV cache now, sample, and learn how long the step took.

        Args:
            work: what was decoded.
            began_s: when the step began, in seconds of the monotonic clock.
        """
        n_prefill = sum(item.n_tokens for item in work if item.is_prefill)
        n_decode = sum(item.n_tokens for item in work) - n_prefill
        n_draft = sum(len(item.request.draft) for item in work)
        if n_prefill:
            self._outbox.expedite()
        ready = self._record(work)
        has_scored = n_prefill > 0 and self._generation.score(work)
        for request, row in ready:
            if request.slot is not None:  # else it ended just now, with a sibling
                self._generation.advance(request, row)
        if work:
            seconds = time.monotonic() - began_s
            if not has_scored:  # such steps are small, and tell nothing of the others
                self._throughput.measured(n_prefill, n_decode, seconds)
            if not n_prefill:
                self._generation.cost.measured(n_decode + n_draft, seconds)

    def end_thoughts(self, request: Request) -> None:
        """End the thoughts of an answer, between two steps."""
        self._generation.end_thoughts(request)

    def _record(self, work: Sequence[Work]) -> list[tuple[Request, int]]:
        """Record what is in the KV cache; return what can be sampled, with rows of the batch.

        All of it before anything is sampled: an answer that ends may be saved, and then the
        tokens of all sequences have to be what they hold.
        """
        ready = []
        row = -1
        for item in work:
            row += item.n_tokens
            if item.reaches_end:
                ready.append((item.request, row))
            row += len(item.request.draft)
            self._record_tokens(item)
        self._save_at_checkpoints(work)
        # draft tokens are in the KV cache too, until they are accepted or removed
        return sorted(ready, key=lambda found: not found[0].draft)

    def _record_tokens(self, item: Work) -> None:
        request, slot = item.request, item.request.slot
        start = request.n_past
        request.n_past = start + item.n_tokens
        if slot is not None:
            slot.tokens += request.tokens[start : request.n_past]
        if request.report_progress and not request.clock.first_token_s:
            self._outbox.post(_progress(request))

    def _save_at_checkpoints(self, work: Sequence[Work]) -> None:
        """Save the sequences that have come to a checkpoint.

        To be called once the tokens of all sequences are what they hold: what is saved may take
        the room of others in memory, and these are then written from the sequences.
        """
        for item in work:
            request = item.request
            to_disk = request.checkpoints.pop(request.n_past, None)
            if to_disk is not None and request.slot is not None:
                self._kv_cache.save_now(request.slot, to_disk=to_disk)

    def _abort_callback(self, work: Sequence[Work]) -> Callable[[], bool] | None:
        """Return what may abort the step; None for a step that is soon over.

        A model whose memory cannot be cut would lose all of it, its neighbours' too.
        """
        prefilling = [item for item in work if item.is_prefill]
        seconds = sum(item.n_tokens for item in prefilling) / self._throughput.prefill_tokens_per_s
        if seconds < _WORTH_WATCHING_S or not self._kv_cache.can_cut:
            return None
        self._interrupt.watch({item.request.request_id for item in prefilling})
        return self._interrupt.should_abort

    def _roll_back(self, work: Sequence[Work]) -> None:
        """Keep what an aborted step has finished of prompts; cut the others to where they were."""
        done = []
        for item in work:
            request, slot = item.request, item.request.slot
            if slot is None:
                continue
            n_done = self._n_done(item, slot)
            n_kept = self._context.keep_prefix(slot.seq_id, request.n_past + n_done)
            if n_done and n_kept == request.n_past + n_done:
                self._record_tokens(Work(request, n_done, is_prefill=True))
                done.append(item)
            else:
                request.n_past = n_kept
                slot.tokens = request.tokens[:n_kept]
        self._save_at_checkpoints(done)

    def _n_done(self, item: Work, slot: Slot) -> int:
        """Return how many tokens of an aborted step are there and need no logits of it."""
        if not item.is_prefill or item.request.is_scored:
            return 0
        n_new = self._context.n_held(slot.seq_id) - item.request.n_past
        return max(0, min(n_new, item.n_tokens - item.reaches_end))


def _progress(request: Request) -> PromptProgress:
    return PromptProgress(
        request_id=request.request_id,
        total=request.n_prompt,
        cache=request.n_cached,
        processed=min(request.n_past, request.n_prompt),
        time_ms=round((time.monotonic() - request.clock.started_s) * 1000.0, 3),
    )


def _drop_drafts(work: Sequence[Work]) -> bool:
    has_drafts = any(item.request.draft for item in work)
    for item in work:
        item.request.draft = []
    return has_drafts


def _parts(work: Sequence[Work]) -> list[BatchPart]:
    parts = []
    for item in work:
        request, start = item.request, item.request.n_past
        if request.slot is None:
            raise RuntimeError("a running request has no sequence")
        tokens = request.tokens[start : start + item.n_tokens] + request.draft
        n_logits = 1 + len(request.draft) if item.reaches_end and request.max_new > 0 else 0
        if request.is_scored:
            n_logits = item.n_tokens
        parts.append(BatchPart(request.slot.seq_id, start, tokens, n_logits))
    return parts
