"""Owns how requests start: their cached prefix is restored and their clients are told."""

from __future__ import annotations

import time

from app.engine.changing_heads import ChangingHeads
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
from app.protocol import CacheMatch, Started

_WORTH_A_STATE = 32
_NEARBY_TOKENS = 16


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
        heads: watches for instructions that keep changing.
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
        heads: ChangingHeads,
    ) -> None:
        self._model = model
        self._scheduler = scheduler
        self._kv_cache = kv_cache
        self._save_policy = save_policy
        self._generation = generation
        self._completion = completion
        self._outbox = outbox
        self._heads = heads

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
        hit = self._kv_cache.restore_prefix(lease, known, request.reading)
        request.reading = None
        if request.explains and is_first:
            request.match = CacheMatch(tokens=hit.n_matched, not_restored=hit.not_restored)
        request.n_past = hit.n_tokens
        lease.slot.tokens = request.tokens[: request.n_past]
        lease.slot.n_head = request.n_system
        request.checkpoints = self._checkpoints(request, hit)
        if is_first:
            self._announce(request, hit)
            self._generation.begin(request)
        if request.max_new == 0:
            if request.n_pending == 0:
                self._completion.finish_prompt(request)
            return
        if request.sampler is None and request.slot is not None:
            request.sampler = self._sampler(request)

    def _branches(self, request: Request, hit: Hit) -> set[int]:
        """Return where prompts part: after the system prefix, and where this one leaves others.

        Where a sequence can be cut anywhere, that needs no place of its own.
        """
        if self._kv_cache.shape.can_cut or hit.n_matched < hit.n_tokens + _WORTH_A_STATE:
            return {request.n_system}
        return {request.n_system, hit.n_matched}

    def _shared_marks(self, request: Request, hit: Hit) -> set[int]:
        """Return the marks of a prompt that another one had, and went on from in its own way.

        So the marks that an agent moves with each turn are not written each time.
        """
        last = hit.n_matched if self._kv_cache.shape.can_cut else hit.n_tokens
        parted = [mark for mark in request.marks if mark <= hit.n_matched < mark + _NEARBY_TOKENS]
        return {min(mark, last) for mark in parted if last > mark - _NEARBY_TOKENS}

    def _checkpoints(self, request: Request, hit: Hit) -> dict[int, bool]:
        """Return where the sequence is saved during prefill, and whether the disk has it at once.

        That is where later prompts may go on in another way, if nothing else than a saved state
        lets them, and now and then in a long prefill, which may be cancelled or crash.
        """
        shape, n_end = self._kv_cache.shape, len(request.reusable)
        places = dict.fromkeys(range(hit.n_tokens, n_end, self._kv_cache.n_progress()), True)
        if not shape.can_cut:
            branches = [*self._branches(request, hit), *request.places]
            if max(branches) + _NEARBY_TOKENS < n_end:
                branches.append(n_end)  # the same prompt may come again; no step ends there for it
            places = dict.fromkeys(branches, False) | places
        return {at: places[at] for at in sorted(places) if hit.n_tokens < at <= n_end}

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
                self._watch_head(request, hit)
            self._save_policy.note_boundaries(
                request.tokens[: request.n_prompt - 1],
                self._branches(request, hit) | self._shared_marks(request, hit),
            )
            self._outbox.post(
                Started(
                    request_id=request.request_id,
                    prompt_tokens=request.n_prompt,
                    cached_tokens=request.n_cached,
                    match=request.match,
                    miss=request.miss,
                )
            )

    def _watch_head(self, request: Request, hit: Hit) -> None:
        """Compare a prompt with those before it; raw prompts and profiles have no head to move."""
        is_raw = not request.prompt_text and not request.n_system
        if not is_raw and not request.profile:
            self._heads.note(
                request.request_id,
                request.tokens[: request.n_prompt],
                n_system=request.n_system,
                n_cached=hit.n_tokens,
                miss=hit.miss if self._kv_cache.can_cut else "",  # else a prefix is no match
            )
