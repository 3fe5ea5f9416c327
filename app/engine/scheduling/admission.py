"""Owns how requests start: their cached prefix is restored and their clients are told."""

from __future__ import annotations

import time

from app.engine.decode.sampling import history_length, stages
from app.engine.ipc.outbox import Outbox
from app.engine.kv.cache_report import cache_miss
from app.engine.kv.hit_counts import Hit
from app.engine.kv.kv_cache import KvCache
from app.engine.kv.save_policy import SavePolicy
from app.engine.kv.sequences import Lease
from app.engine.llama import Model, Sampler
from app.engine.scheduling.completion import RequestCompletion
from app.engine.scheduling.generation import Generation
from app.engine.scheduling.request import Request
from app.engine.scheduling.scheduler import Scheduler
from app.protocol import Started


class Admission:
    """Starts requests.

    Args:
        model: makes their samplers.
        scheduler: says which start.
        kv_cache: restores the cached prefixes of their prompts.
        save_policy: notes where prompts branch.
        generation: begins their answers.
        completion: ends those that need no step.
        outbox: takes the events.
    """

    def __init__(
        self,
        model: Model,
        scheduler: Scheduler,
        kv_cache: KvCache,
        save_policy: SavePolicy,
        generation: Generation,
        completion: RequestCompletion,
        outbox: Outbox,
    ) -> None:
        self._model = model
        self._scheduler = scheduler
        self._kv_cache = kv_cache
        self._save_policy = save_policy
        self._generation = generation
        self._completion = completion
        self._outbox = outbox

    def admit(self) -> None:
        """Start the waiting requests that there is room for."""
        has_started = False
        for request, lease in self._scheduler.admit():
            self._start(request, lease)
            has_started = True
        if has_started:
            self._kv_cache.drop_saved()

    def _start(self, request: Request, lease: Lease) -> None:
        """Restore the request's known prefix, announce it and give it a sampler."""
        known = request.reusable
        is_first = not request.clock.started_s
        if request.explains and is_first:
            detokenize = self._model.detokenize
            request.miss = cache_miss(self._kv_cache, lease, request.tokens, detokenize)
        hit = self._kv_cache.restore_prefix(lease, known)
        request.n_past = hit.n_tokens
        lease.slot.tokens = request.tokens[: request.n_past]
        if not self._kv_cache.store.can_cut and request.n_past < request.n_system < len(known):
            request.checkpoint = request.n_system
        if is_first:
            self._announce(request, hit)
            self._generation.begin(request)
        if request.max_new == 0:
            if request.n_pending == 0:
                self._completion.finish_prompt(request)
            return
        if request.sampler is None and request.slot is not None:
            request.sampler = self._sampler(request)

    def _sampler(self, request: Request) -> Sampler:
        sampler = Sampler(stages(request.sampling), self._model)
        if n_tokens := history_length(request.sampling):
            sampler.accept(request.tokens[-n_tokens:])
        return sampler

    def _announce(self, request: Request, hit: Hit) -> None:
        request.clock.started_s = time.monotonic()
        request.n_cached, request.tier, request.restore_ms = hit.n_tokens, hit.tier, hit.restore_ms
        if request.choice == 0:
            if not request.is_scored:  # else nothing was looked for
                self._kv_cache.hits.count(hit)
            self._save_policy.note_boundaries(
                request.tokens[: request.n_prompt - 1], request.n_system, hit
            )
            self._outbox.post(
                Started(
                    request_id=request.request_id,
                    prompt_tokens=request.n_prompt,
                    cached_tokens=request.n_cached,
                    miss=request.miss,
                )
            )
