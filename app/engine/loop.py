"""Owns the hot loop: receive, admit, decode, sample, emit. Nothing here waits or logs.

`step` is the whole of it; everything per token that C can do is done in C.
"""

from __future__ import annotations

import time

from app.engine.channel import Channel
from app.engine.inbox import Inbox
from app.engine.llama import DECODE_NO_KV_SLOT, BatchPart, Context, Model, Sampler
from app.engine.pace import PrefillPace
from app.engine.request import Request
from app.engine.sampling import penalises, stages
from app.engine.scheduler import Scheduler, Work
from app.engine.sequences import Lease, SequencePool
from app.protocol import Command, Failed, Finished, Started


class EngineLoop:
    """Runs requests on one context until the HTTP process says stop or goes away."""

    def __init__(
        self,
        model: Model,
        context: Context,
        channel: Channel,
        inbox: Inbox,
        scheduler: Scheduler,
        pool: SequencePool,
        pace: PrefillPace,
    ) -> None:
        self._model = model
        self._context = context
        self._channel = channel
        self._inbox = inbox
        self._scheduler = scheduler
        self._pool = pool
        self._pace = pace

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
            for command in commands:
                for cancelled in self._inbox.handle(command):
                    self._retire(cancelled)
            if self._inbox.shutdown:
                return
            self.step()
            channel.flush()
            commands = channel.wait() if scheduler.is_idle else channel.poll()

    def step(self) -> None:
        """Decode one batch and hand out what it produced."""
        for request, lease in self._scheduler.admit():
            self._start(request, lease)
        work = self._scheduler.plan(self._pace.budget)
        if not work:
            return
        began_s = time.monotonic()
        if not self._decode(work):
            self._fail(work[-1].request, "EngineUnavailable", "the KV cache is full")
            return
        row = -1
        for item in work:
            row += item.n_tokens
            request = item.request
            ends = item.reaches_end
            request.n_past += item.n_tokens
            if ends:
                self._advance(request, row)
        n_tokens = row + 1
        self._pace.measured(n_tokens, time.monotonic() - began_s)

    def _start(self, request: Request, lease: Lease) -> None:
        """Bring the KV cache to what the lease promises and announce the request."""
        request.clock.started_s = time.monotonic()
        slot, source, n_keep = lease.slot, lease.source, lease.n_keep
        if source is None:
            n_keep = self._context.keep_prefix(slot.seq_id, n_keep)
        else:  # the source may have been cut since the lease
            n_keep = min(n_keep, len(source.tokens))
            n_keep = self._context.copy_prefix(source.seq_id, slot.seq_id, n_keep)
        slot.tokens = request.tokens[:n_keep]
        request.n_past = request.n_cached = n_keep
        self._channel.post(
            Started(
                request_id=request.request_id,
                prompt_tokens=request.n_prompt,
                cached_tokens=n_keep,
            )
        )
        if request.max_new == 0:
            if request.n_pending == 0:
                self._finish(request, "stop")
            return
        sampler = Sampler(stages(request.sampling), self._model)
        if penalises(request.sampling):
            sampler.accept(request.tokens[-request.sampling.repeat_last_n :])
        request.sampler = sampler

    def _decode(self, work: list[Work]) -> bool:
        """Run the step; makes room in the KV cache by forgetting idle sequences."""
        parts = []
        for item in work:
            request, start = item.request, item.request.n_past
            if request.slot is None:
                raise RuntimeError("a running request has no sequence")
            tokens = request.tokens[start : start + item.n_tokens]
            wants_logits = item.reaches_end and request.max_new > 0
            parts.append(BatchPart(request.slot.seq_id, start, tokens, wants_logits))
        while self._context.decode(parts) == DECODE_NO_KV_SLOT:
            idle = self._pool.oldest_idle()
            if idle is None:
                return False
            self._context.clear(idle.seq_id)
            idle.tokens = []
        return True

    def _advance(self, request: Request, row: int) -> None:
        """Sample a request's next token from `row` of the batch and emit what it completes."""
        sampler, answer = request.sampler, request.answer
        if sampler is None or answer is None:
            self._finish(request, "stop")
            return
        token = sampler.sample(self._context, row)
        if not request.clock.first_token_s:
            request.clock.first_token_s = time.monotonic()
        request.tokens.append(token)
        if self._model.is_end(token):
            self._finish(request, "stop")
            return
        for event in answer.feed(self._model.piece(token)):
            self._channel.post(event)
        if answer.stopped:
            self._finish(request, "stop")
        elif request.n_generated >= request.max_new:
            self._finish(request, "length")

    def _finish(self, request: Request, reason: str) -> None:
        if request.answer is not None:
            for event in request.answer.finish():
                self._channel.post(event)
            if reason == "stop" and request.answer.has_tool_calls:
                reason = "tool_calls"
        self._channel.post(
            Finished(
                request_id=request.request_id,
                reason=reason,
                usage=request.usage(),
                timings=request.timings(time.monotonic()),
            )
        )
        self._retire(request)

    def _fail(self, request: Request, kind: str, message: str) -> None:
        self._channel.post(Failed(request_id=request.request_id, kind=kind, message=message))
        self._retire(request)

    def _retire(self, request: Request) -> None:
        self._scheduler.remove(request)
        if request.sampler is not None:
            request.sampler.close()
            request.sampler = None
