"""Owns which prompts are saved and when: in memory at once, on disk soon after."""

from __future__ import annotations

import hashlib
import time
from array import array
from collections.abc import Iterable, Iterator, Sequence

from app.engine.kv.conversation_ends import ConversationEnd
from app.engine.kv.disk_tier import Save
from app.engine.kv.kv_cache import KvCache
from app.promptcache import Role

MIN_BOUNDARY_TOKENS = 64
_NEARBY_TOKENS = 32
_MAX_BOUNDARIES = 64
_MAX_BOUNDARY_BYTES = 2 * 1024 * 1024
_REWRITE_PATIENCE = 10
_MOSTLY = 0.75
_DISK_CHECK_S = 0.25
_RETRY_S, _LONGEST_RETRY_S = 30.0, 3600.0
_LAST_WRITES_S = 8.0


class SavePolicy:
    """Saves what will be needed again.

    Args:
        kv_cache: where the sequences are.
        save_after_s: seconds until an idle conversation is written to disk. One of which the disk
            has an older state waits ten times as long, until what came since weighs as much.
        min_boundary_tokens: shorter beginnings are not worth an entry of their own.
        max_boundary_bytes: what the tokens of those that wait may take, at 4 bytes each.
    """

    def __init__(
        self,
        kv_cache: KvCache,
        *,
        save_after_s: float,
        min_boundary_tokens: int = MIN_BOUNDARY_TOKENS,
        max_boundary_bytes: int = _MAX_BOUNDARY_BYTES,
    ) -> None:
        self._kv_cache = kv_cache
        self._save_after_s = save_after_s
        self._min_boundary_tokens = min_boundary_tokens
        self._max_boundary_bytes = max_boundary_bytes
        self._boundaries: list[array[int]] = []
        self._tried: list[bytes] = []
        self._offers: list[tuple[ConversationEnd, Save]] = []
        self._checked_s = 0.0

    # ------------------------------------------------------------ beginnings

    def note_boundaries(self, tokens: Sequence[int], places: Iterable[int]) -> None:
        """Note where prompts branch: after the system prefix, and where this one did."""
        if not self._kv_cache.disk.is_on:
            return
        for place in places:
            boundary = array("i", tokens[:place])
            if place >= self._min_boundary_tokens and boundary not in self._boundaries:
                self._boundaries.append(boundary)
        del self._boundaries[:-_MAX_BOUNDARIES]
        while self.boundary_bytes > self._max_boundary_bytes:
            del self._boundaries[0]

    @property
    def boundary_bytes(self) -> int:
        """Memory that the tokens of the beginnings take that wait to be saved."""
        return sum(len(boundary) * boundary.itemsize for boundary in self._boundaries)

    def forget(self) -> None:
        """Forget what was noted."""
        self._boundaries.clear()
        self._tried.clear()

    # ------------------------------------------------------------ in quiet moments

    def save_next(self) -> bool:
        """Do one thing that needs llama.cpp, while it has nothing else to do.

        Returns:
            Whether there may be more.
        """
        if self._kv_cache.save_idle():
            return True
        if self._boundaries:
            self._save(self._boundaries.pop(0).tolist(), "boundary")
            return True
        return self._save_large()

    def _save_large(self) -> bool:
        """Write an idle conversation that memory has no room for."""
        tokens = next(self._large(time.monotonic() - self._save_after_s), None)
        if tokens is None:
            return False
        self._tried = [*self._tried[-_MAX_BOUNDARIES:], _digest(tokens)]
        self._save(tokens, "turn")
        return True

    def _large(self, idle_before_s: float) -> Iterator[list[int]]:
        keeper = self._kv_cache.keeper
        is_on = self._kv_cache.disk.is_on
        for tokens in self._kv_cache.unsaved(idle_before_s) if is_on else ():
            is_long = len(tokens) >= self._min_boundary_tokens
            if is_long and _digest(tokens) not in self._tried and not keeper.is_on_disk(tokens):
                yield tokens

    def submit_due(self) -> None:
        """Hand conversations to the disk tier that have been idle for long enough."""
        now_s = time.monotonic()
        if not self._kv_cache.disk.is_on or now_s - self._checked_s < _DISK_CHECK_S:
            return
        self._checked_s = now_s
        self._kv_cache.disk.count_written()
        self._retry_refused(now_s)
        for end in self._kv_cache.keeper.ends:
            if not end.was_offered and self._left_s(end, now_s) <= 0:
                self._offer(end)

    def _offer(self, end: ConversationEnd) -> None:
        end.was_offered = True
        save = self._save(end.tokens, "turn")
        if save is not None and save.job is not None:
            self._offers.append((end, save))

    def _left_s(self, end: ConversationEnd, now_s: float) -> float:
        """Return for how long a conversation stays in memory only."""
        left_s = end.since_s + self._save_after_s - now_s
        if left_s > 0:
            return left_s
        return left_s + (_REWRITE_PATIENCE - 1) * self._save_after_s * self._is_mostly_there(end)

    def _is_mostly_there(self, end: ConversationEnd) -> bool:
        """Whether the disk has a state of the conversation that weighs more than what came since.

        It would be written anew after every turn; rows are written only once.
        """
        shape = self._kv_cache.shape
        known = self._kv_cache.disk.states(end.tokens)[:1] if shape.needs_state else []
        if not known:
            return False
        if shape.is_whole:
            return known[0].n_tokens >= _MOSTLY * len(end.tokens)
        return (len(end.tokens) - known[0].n_tokens) * shape.token_bytes < shape.state_bytes

    def _retry_refused(self, now_s: float) -> None:
        """Offer again later what the disk did not take."""
        done = [offer for offer in self._offers if offer[1].is_done]
        self._offers = [offer for offer in self._offers if offer not in done]
        for end, save in done:
            if not save.is_there:
                end.was_offered = False
                end.retry_s = min(2 * end.retry_s or _RETRY_S, _LONGEST_RETRY_S)
                end.since_s = now_s + end.retry_s - self._save_after_s

    def next_work_s(self) -> float | None:
        """Return how long there is nothing to do; None where that is for ever."""
        disk = self._kv_cache.disk
        if not disk.is_on:
            return None
        now_s = time.monotonic()
        ends = [end for end in self._kv_cache.keeper.ends if not end.was_offered]
        waits = [self._left_s(end, now_s) for end in ends]
        if disk.has_pending or self._offers:
            waits.append(_DISK_CHECK_S)
        if any(self._large(now_s)):
            waits.append(self._save_after_s)
        return max(_DISK_CHECK_S, min(waits)) if waits else None

    # ------------------------------------------------------------ now

    def trim(self) -> tuple[int, int]:
        """Drop the idle conversations in memory, after offering them to the disk.

        Those in the KV cache stay: its memory is there as long as the process. What the disk takes
        is given back when it is written.

        Returns:
            Entries and bytes.
        """
        store = self._kv_cache.store
        dropped = len(store), store.n_bytes
        for end in self._kv_cache.keeper.ends if self._kv_cache.disk.is_on else ():
            if not end.was_offered:
                self._offer(end)
        store.clear()
        return dropped

    def save_prompt(self, tokens: Sequence[int], profile: str) -> Save | None:
        """Have a prompt written now; None where there is no disk."""
        return self._save(tokens, "profile" if profile else "boundary", profile)

    def _save(self, tokens: Sequence[int], role: Role, profile: str = "") -> Save | None:
        return self._kv_cache.keeper.write(tokens, role, profile)

    def save_all(self) -> None:
        """Write what is only in memory, the latest first; the process is about to end."""
        disk = self._kv_cache.disk
        if not disk.is_on:
            return
        ends_s = time.monotonic() + _LAST_WRITES_S
        disk.unthrottle()
        while self._kv_cache.save_idle():
            pass
        ends = [end.tokens.tolist() for end in self._kv_cache.keeper.ends]
        for tokens in [*self._kv_cache.unsaved(), *reversed(ends)]:
            self._save_before(ends_s, tokens, "turn")
        for boundary in reversed(self._boundaries):
            self._save_before(ends_s, boundary.tolist(), "boundary")
        disk.close(max(0.0, ends_s - time.monotonic()))

    def _save_before(self, ends_s: float, tokens: Sequence[int], role: Role) -> None:
        left_s = ends_s - time.monotonic()
        save = self._save(tokens, role) if left_s > 0 else None
        if save is not None:
            self._kv_cache.disk.wait(save, left_s)


def _digest(tokens: Sequence[int]) -> bytes:
    return hashlib.blake2b(array("i", tokens), digest_size=16).digest()
