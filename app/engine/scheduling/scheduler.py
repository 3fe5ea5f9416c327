"""Owns which requests run and how a batch is divided; pure policy, must not know llama.cpp.

`submit` and `remove` change the queue, `admit` starts requests, `plan` says what the next step
decodes, `preempt` makes room. The loop does the work and reports it through `Request.n_past`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from app.base.prefix import common_prefix
from app.engine.kv.restoring.read_ahead import Reading
from app.engine.kv.sequences import Lease, SequencePool
from app.engine.scheduling.request import Request

_OLDEST_SHARE = 4
# Tokens that another request has to prefill for this one, so that waiting for it is worth it.
MIN_SHARED_TOKENS = 64


@dataclass(frozen=True, slots=True)
class Work:
    """What one request gets of the next step.

    Args:
        request: whose tokens they are.
        n_tokens: how many of its pending tokens are decoded.
        is_prefill: whether these are tokens of a prompt.
    """

    request: Request
    n_tokens: int
    is_prefill: bool = False

    @property
    def reaches_end(self) -> bool:
        """Whether nothing is pending afterwards, so that a token can be sampled."""
        return self.n_tokens == self.request.n_pending


class Scheduler:
    """A bounded queue in order of arrival in front of `parallel` running requests.

    Args:
        pool: the sequences requests work on.
        parallel: how many run at once; at most half of `n_batch`, so that prefill has room.
        max_queue: how many may wait.
        n_batch: tokens one step may decode at most.
        n_ctx: tokens all running requests may hold together.
        can_cut: whether a sequence may lose its end, so that any part of one can be shared.
        n_cached: returns how much of a prompt lies in memory outside of the pool.
        read_ahead: returns what reads from the disk what a prompt needs, of which a sequence has
            so many tokens.
    """

    def __init__(
        self,
        pool: SequencePool,
        *,
        parallel: int,
        max_queue: int,
        n_batch: int,
        n_ctx: int,
        can_cut: bool = True,
        n_cached: Callable[[Sequence[int]], int] = lambda _: 0,
        read_ahead: Callable[[Sequence[int], int], Reading] | None = None,
    ) -> None:
        self._pool = pool
        self._parallel = max(1, min(parallel, n_batch // 2))
        self._max_queue = max_queue
        self._n_batch = n_batch
        self._n_ctx = n_ctx
        self._can_cut = can_cut
        self._n_cached = n_cached
        self._read_ahead = read_ahead
        self.waiting: deque[Request] = deque()
        self.running: list[Request] = []

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to do."""
        return not self.waiting and not self.running

    @property
    def n_generating(self) -> int:
        """How many running requests get a token in the next step."""
        return sum(not request.n_prefill for request in self.running)

    def can_take(self, n_requests: int) -> bool:
        """Whether the queue has room for this many requests; an idle engine takes any number."""
        free = max(0, self._parallel - len(self.running))
        return self.is_idle or len(self.waiting) + n_requests <= self._max_queue + free

    def submit(self, request: Request) -> None:
        """Put a request at the end of the queue."""
        self.waiting.append(request)

    def admit(self) -> Iterator[tuple[Request, Lease]]:
        """Start as many waiting requests as there is room for, in order of arrival.

        The next one is looked at when the caller has done with the one before, so that leases
        tell what the sequences really hold.

        A request whose tokens do not fit beside the running ones waits, and those behind it
        wait too: skipping it could starve it. One that begins with what a running request still
        prefills is passed over until that is there, and then shares it. So is one that is still
        read from the disk while others run, and one whose prompt is scored beside another such: a
        step has rows of logits for one.
        """
        reading: list[Request] = []  # their places are kept for them
        for request in list(self.waiting):
            if len(self.running) + len(reading) >= self._parallel:
                break
            if not self._fits(request, reading):
                break
            if request not in self.waiting:  # the answer before it failed, and so did the command
                continue
            if request.is_scored and any(other.is_scored for other in self.running):
                continue
            if self._waits_for_leader(request):
                request.reading = None  # by then the KV cache has what the leader prefills
                continue
            if self._waits_for_disk(request):
                reading.append(request)
                continue
            lease = self._pool.lease(request.reusable)
            if lease is None:
                break
            self.waiting.remove(request)
            request.slot = lease.slot
            self.running.append(request)
            yield request, lease

    def _fits(self, request: Request, reading: Sequence[Request]) -> bool:
        others = [*self.running, *reading]
        return not others or _n_cells([*others, request]) < self._n_ctx

    def _waits_for_leader(self, request: Request) -> bool:
        """Whether a request waits for its leader; one that lost it, or has none, may get one."""
        leader = request.leader
        if leader is not None and leader in self.running:
            if not leader.has_prefilled(request.n_shared):
                return True
        elif leader is not None and leader in self.waiting and not request.n_shared:
            return True
        request.leader, request.n_shared = self._leader_for(request) or (None, 0)
        return request.leader is not None

    def _waits_for_disk(self, request: Request) -> bool:
        """Whether a request waits until what it needs is read, so that those that run go on."""
        if self._read_ahead is None or not self.running:
            return False
        if request.reading is None:
            tokens = request.reusable
            request.reading = self._read_ahead(tokens, self._n_there(tokens))
        return not request.reading.poll()

    def _leader_for(self, request: Request) -> tuple[Request, int] | None:
        """Return the running request that prefills the most of a prompt, and how much that is.

        None where that is little more than is there already. A sequence that cannot be cut is
        shared where it is saved.
        """
        tokens, leader, n_shared = request.reusable, None, 0
        for other in self.running:
            n_same = common_prefix(other.tokens, tokens) if other.n_prefill else 0
            n_same = min(n_same, other.n_past + other.n_prefill)
            if n_same > n_shared:
                leader, n_shared = other, n_same
        if leader is None or n_shared - leader.n_cached < MIN_SHARED_TOKENS:
            return None
        if n_shared - max(self._n_there(tokens), self._n_cached(tokens)) < MIN_SHARED_TOKENS:
            return None
        n_shared = n_shared if self._can_cut else leader.checkpoint_within(n_shared)
        return (leader, n_shared) if n_shared else None

    def _n_there(self, tokens: list[int]) -> int:
        """Return how many tokens a sequence holds for this prompt now."""
        held = [(common_prefix(slot.tokens, tokens), slot) for slot in self._pool.slots]
        usable = [n for n, slot in held if self._can_cut or n == len(slot.tokens)]
        return max(usable, default=0)

    def plan(self, prefill_budget: int) -> list[Work]:
        """Return the next step: the last tokens of each generating request, then prefill.

        Args:
            prefill_budget: tokens that the step may prefill at most, shared by all.
        """
        generating = [request for request in self.running if not request.n_prefill]
        prefilling = [request for request in self.running if request.n_prefill]
        room = self._n_batch - len(generating)
        work = []
        for request in generating:
            n_more = min(request.n_pending - 1, room)
            room -= n_more
            work.append(Work(request, 1 + n_more))
        return work + list(_share(prefilling, min(prefill_budget, room)))

    def preempt(self) -> Request | None:
        """Send the youngest running request back to the head of the queue.

        Its tokens stay; it goes on where it was once there is room. The last running request
        is never held back.
        """
        if len(self.running) < 2:
            return None
        youngest = max(reversed(self.running), key=lambda request: request.clock.received_s)
        self._leave(youngest)
        youngest.n_past = 0
        youngest.draft = []
        self.waiting.appendleft(youngest)
        return youngest

    def find(self, request_id: str) -> list[Request]:
        """Return the requests of one command, waiting or running."""
        everyone = (*self.running, *self.waiting)
        return [request for request in everyone if request.request_id == request_id]

    def remove(self, request: Request) -> None:
        """Forget a request; the tokens of a running one stay in its slot for the next."""
        if request in self.running:
            self._leave(request)
        else:
            self.waiting.remove(request)

    def _leave(self, request: Request) -> None:
        self.running.remove(request)
        if request.slot is not None:
            self._pool.release(request.slot)
            request.slot = None


def _n_cells(requests: list[Request]) -> int:
    """Return the cells of the KV cache that requests need; answers to one prompt share it."""
    prompts = {request.request_id: request.n_prompt for request in requests}
    return sum(prompts.values()) + sum(request.n_generated for request in requests)


def _share(prefilling: list[Request], room: int) -> Iterable[Work]:
    """Divide the prefill of a step: the shortest first, but always a part for the oldest.

    So a short prompt does not wait for a long one, and a long one is never starved.
    """
    if not prefilling or room <= 0:
        return
    oldest = prefilling[0]
    floor = max(1, room // _OLDEST_SHARE) if len(prefilling) > 1 else room
    kept = min(floor, oldest.n_prefill)
    room -= kept
    for request in sorted(prefilling, key=lambda request: request.n_prefill):
        n_tokens = min(room, request.n_prefill - (kept if request is oldest else 0))
        room -= n_tokens
        n_tokens += kept if request is oldest else 0
        if n_tokens > 0:
            yield Work(request, request.up_to_limit(n_tokens), is_prefill=True)
