"""Owns the count of one fault: how often it was tried, what came back, what was lost."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field

HEAD = "| fault | times tried | lost | what the client saw |\n|---|---|---|---|"
_SHOWN_LOSSES = 20


@dataclass
class Tally:
    """One row of the table. Threads may share it.

    Args:
        fault: what is done to the server.
        tried: how often.
        seen: what the client saw, and how often.
        losses: what ought not to have happened, a sentence each.
    """

    fault: str
    tried: int = 0
    seen: Counter[str] = field(default_factory=Counter)
    losses: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def note(self, outcome: str) -> None:
        """Count one try."""
        with self._lock:
            self.tried += 1
            self.seen[outcome] += 1

    def lose(self, loss: str) -> None:
        """Record what ought not to have happened."""
        with self._lock:
            self.losses.append(loss)

    def row(self) -> str:
        """Return the row."""
        seen = ", ".join(f"{n:,} {outcome}" for outcome, n in self.seen.most_common())
        return f"| {self.fault} | {self.tried:,} | {len(self.losses):,} | {seen} |"

    def loss_lines(self) -> list[str]:
        """Return the losses, the first of them if they are many."""
        more = len(self.losses) - _SHOWN_LOSSES
        shown = [f"{self.fault}: {loss}" for loss in self.losses[:_SHOWN_LOSSES]]
        return [*shown, f"{self.fault}: and {more} more"] if more > 0 else shown
