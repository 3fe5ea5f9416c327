"""Owns what of the prompts is kept for later and when: in memory at once, on disk soon after."""

from __future__ import annotations

import time
from collections.abc import Sequence

from app.engine.disk_tier import Save
from app.engine.idle_store import IdleEntry
from app.engine.residency import Hit, Residency
from app.promptcache import Role

MIN_BOUNDARY_TOKENS = 64
_NEARBY_TOKENS = 32
_MOST_BOUNDARIES = 64
_REWRITE_PATIENCE = 10
_MOSTLY = 0.75
_DISK_CHECK_S = 0.25


class Keeper:
    """Saves what will be needed again.

    Args:
        residency: where the sequences are.
        save_after_s: seconds until an idle conversation is written to disk. One that is mostly
            there already waits ten times as long: it would be written anew after every turn.
        min_boundary_tokens: shorter beginnings are not worth an entry of their own.
    """

    def __init__(
        self,
        residency: Residency,
        *,
        save_after_s: float,
        min_boundary_tokens: int = MIN_BOUNDARY_TOKENS,
    ) -> None:
        self._min_boundary_tokens = min_boundary_tokens
        self._residency = residency
        self._save_after_s = save_after_s
        self._boundaries: list[list[int]] = []
        self._n_noted = 0
        self._checked_s = 0.0

    def note(self, tokens: Sequence[int], n_head: int, hit: Hit) -> None:
        """Note where this prompt and others will part: after the head, and where it did."""
        if not self._residency.disk.is_on:
            return
        places = [n_head]
        if abs(hit.n_branch - n_head) >= _NEARBY_TOKENS:
            places.append(hit.n_branch)
        for place in places:
            if place >= self._min_boundary_tokens and tokens[:place] not in self._boundaries:
                self._boundaries.append(list(tokens[:place]))
        del self._boundaries[:-_MOST_BOUNDARIES]

    def work_idle(self) -> bool:
        """Do one thing that needs llama.cpp, while it has nothing else to do.

        Returns:
            Whether there may be more.
        """
        if self._residency.save_idle():
            return True
        if self._boundaries:
            self._save(self._boundaries.pop(0), "boundary")
            return True
        return False

    def work_aside(self) -> None:
        """Hand conversations to the disk tier that have been idle for long enough."""
        now_s = time.monotonic()
        if not self._residency.disk.is_on or now_s - self._checked_s < _DISK_CHECK_S:
            return
        self._checked_s = now_s
        for entry in self._residency.store:
            if not entry.was_offered and now_s - entry.since_s >= self._patience_s(entry):
                self._offer(entry)

    def _patience_s(self, entry: IdleEntry) -> float:
        found = self._residency.disk.find(entry.tokens)
        is_mostly_there = found is not None and found.n_shared >= _MOSTLY * len(entry.tokens)
        return self._save_after_s * (_REWRITE_PATIENCE if is_mostly_there else 1)

    def _offer(self, entry: IdleEntry) -> None:
        entry.was_offered = True
        if not self._residency.disk.covers(entry.tokens):
            self._residency.disk.save(entry.tokens, entry.state, "turn")

    def quiet_s(self) -> float | None:
        """Return how long there is nothing to do; None where that is for ever."""
        disk = self._residency.disk
        if not disk.is_on:
            return None
        now_s = time.monotonic()
        waits = [
            entry.since_s + self._patience_s(entry) - now_s
            for entry in self._residency.store
            if not entry.was_offered
        ]
        if disk.n_waiting:
            waits.append(_DISK_CHECK_S)
        return max(_DISK_CHECK_S, min(waits)) if waits else None

    def save_prompt(self, tokens: Sequence[int], profile: str) -> Save | None:
        """Have a prompt written now; None where there is no disk."""
        return self._save(tokens, "profile" if profile else "boundary", profile)

    def _save(self, tokens: Sequence[int], role: Role, profile: str = "") -> Save | None:
        disk = self._residency.disk
        if not disk.is_on:
            return None
        is_there = disk.covers(tokens) and not profile
        state = None if is_there else self._residency.snapshot(tokens)
        return disk.save(tokens, state, role, profile)

    def save_all(self) -> None:
        """Write everything to disk that is only in memory; the process is about to end."""
        if not self._residency.disk.is_on:
            return
        while self.work_idle():
            pass
        for entry in self._residency.store:
            self._offer(entry)
        for tokens in self._residency.unsaved():
            if not self._residency.disk.covers(tokens):
                self._save(tokens, "turn")
        self._residency.disk.close()
