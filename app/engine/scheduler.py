"""Owns who works next and on how many tokens; pure policy that must not know llama.cpp.

`submit` and `cancel` change the queue, `admit` starts requests, `plan` says what the next step
decodes. The loop does the work and reports it back through `Request.n_past`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from app.engine.request import Request
from app.engine.sequences import Lease, SequencePool


@dataclass(frozen=True, slots=True)
class Work:
    """What one request gets of the next step.

    Args:
        request: whose tokens they are.
        n_tokens: how many of its pending tokens are decoded.
    """

    request: Request
    n_tokens: int

    @property
    def reaches_end(self) -> bool:
        """Whether nothing is pending afterwards, so that a token can be sampled."""
        return self.n_tokens == self.request.n_pending


class Scheduler:
    """A queue in order of arrival in front of `parallel` running requests.

    Args:
        pool: the sequences requests work on.
        parallel: how many run at once.
        n_batch: tokens one step may decode at most.
    """

    def __init__(self, pool: SequencePool, *, parallel: int, n_batch: int) -> None:
        self._pool = pool
        self._parallel = parallel
        self._n_batch = n_batch
        self.waiting: deque[Request] = deque()
        self.running: list[Request] = []

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to do."""
        return not self.waiting and not self.running

    def submit(self, request: Request) -> None:
        """Put a request at the end of the queue."""
        self.waiting.append(request)

    def admit(self) -> list[tuple[Request, Lease]]:
        """Start as many waiting requests as there is room for, in order of arrival."""
        started = []
        while self.waiting and len(self.running) < self._parallel:
            request = self.waiting[0]
            lease = self._pool.lease(request.tokens[:-1] if request.max_new else request.tokens)
            if lease is None:
                break
            self.waiting.popleft()
            request.slot = lease.slot
            self.running.append(request)
            started.append((request, lease))
        return started

    def plan(self, prefill_budget: int) -> list[Work]:
        """Return the next step: a token for each generating request, then prefill.

        Args:
            prefill_budget: prompt tokens the step may decode at most, shared by all.
        """
        work = [Work(request, 1) for request in self.running if not request.n_prefill]
        room = min(prefill_budget, self._n_batch - len(work))
        for request in self.running:
            if request.n_prefill and room > 0:
                n_tokens = min(room, request.n_prefill)
                work.append(Work(request, n_tokens))
                room -= n_tokens
        return work

    def find(self, request_id: str) -> Request | None:
        """Return a request, waiting or running."""
        for request in (*self.running, *self.waiting):
            if request.request_id == request_id:
                return request
        return None

    def remove(self, request: Request) -> None:
        """Forget a request; the tokens of a running one stay in its slot for the next."""
        if request in self.running:
            self.running.remove(request)
        else:
            self.waiting.remove(request)
        slot = request.slot
        if slot is not None:
            slot.tokens = request.tokens[: request.n_past]
            self._pool.release(slot)
            request.slot = None
