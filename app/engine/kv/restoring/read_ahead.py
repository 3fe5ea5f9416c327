"""Owns reading from the disk what a waiting request needs, while the others are decoded."""

from __future__ import annotations

import contextlib
import os
import threading
import weakref

from app.engine.kv.disk_tier import DISK, DiskCacheTier
from app.engine.kv.restoring.lookup import Plan
from app.promptcache import BlockContent, EntryContent, PrefixMatch

_NICENESS = 5  # the steps of those that run come first


class Reading:
    """The blocks and the state of a plan that lie on the disk, as they are read.

    What is asked for before it is read is waited for; what could not be read is tried once more.

    Args:
        disk: where they are.
        plan: what is to be restored; None reads nothing ahead.
        turns: lets one reading begin after the other.
    """

    def __init__(
        self, disk: DiskCacheTier, plan: Plan | None = None, turns: ReadingTurns | None = None
    ) -> None:
        self._disk = disk
        self._plan = plan
        self._turns = turns or ReadingTurns()
        self._found: dict[str, BlockContent | EntryContent | None] = {}
        self._thread: threading.Thread | None = None

    def poll(self) -> bool:
        """Begin to read, if it is its turn and nothing is read yet; whether all is read."""
        if self._plan is not None and self._turns.take(self):
            self._start(self._plan)
            self._plan = None
        if self._plan is not None:
            return False
        return self._thread is None or not self._thread.is_alive()

    def block(self, block_id: str, *, with_window: bool) -> BlockContent | None:
        """Return a block; None where it was bad or is gone.

        Args:
            with_window: whether to read window rows too, where it was not read ahead.
        """
        found = self._read_ahead(block_id)
        if isinstance(found, BlockContent):
            return found
        return self._disk.read_block(block_id, with_window=with_window)

    def state(self, match: PrefixMatch) -> EntryContent | None:
        """Return a state; None where it was bad or is gone."""
        found = self._read_ahead(match.entry_id)
        return found if isinstance(found, EntryContent) else self._disk.read_state(match)

    def _read_ahead(self, entry_id: str) -> BlockContent | EntryContent | None:
        if self._thread is not None:
            self._thread.join()
        return self._found.pop(entry_id, None)

    def _start(self, plan: Plan) -> None:
        state = plan.state if isinstance(plan.state, PrefixMatch) else None
        thread = threading.Thread(
            target=self._read, args=(plan, state), name="cache-read", daemon=True
        )
        with contextlib.suppress(RuntimeError):  # no more threads: it is read when it is asked for
            thread.start()
            self._thread = thread

    def _read(self, plan: Plan, state: PrefixMatch | None) -> None:
        with contextlib.suppress(OSError):  # on Linux a thread has a niceness of its own
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
        with contextlib.suppress(MemoryError):
            if state is not None:
                self._found[state.entry_id] = self._disk.read_state(state)
            for link in plan.links:
                if link.tier == DISK:
                    with_window = plan.needs_window(link)
                    block = self._disk.read_block(link.block_id, with_window=with_window)
                    self._found[link.block_id] = block


class ReadingTurns:
    """Lets one prompt be read for at a time: what is read takes memory until it is restored."""

    def __init__(self) -> None:
        self._current: weakref.ref[Reading] | None = None

    def take(self, reading: Reading) -> bool:
        """Return whether it is a reading's turn: the one before is done with and forgotten."""
        if self._current is not None and self._current() not in (None, reading):
            return False
        self._current = weakref.ref(reading)
        return True
