"""Owns the thread that writes entries in the background; must not know their content."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

from app.promptcache.entry_header import Role
from app.promptcache.snapshot import Snapshot
from app.promptcache.token_bytes import pack

# A piece is 256 KiB to hash or to write: eight pieces a MiB, so 50 MiB take at most 6 s longer.
MAX_PAUSE_S = 0.015
_NICENESS = 10
_PAUSE_PER_WORK = 4.0


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class WriteJob:
    """A snapshot to be written; the arguments of `DiskStore.write_snapshot`."""

    tokens: list[int]
    snapshot: Snapshot
    extra: bytes = b""
    role: Role = "turn"
    profile: str = ""
    form: str = ""
    drops_older: bool = False
    packed: bytes = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "packed", pack(self.tokens))

    @property
    def n_bytes(self) -> int:
        """Memory that the rows and the state take."""
        parts = (self.snapshot.rows, self.snapshot.window_rows, self.snapshot.state or b"")
        return sum(memoryview(part).nbytes for part in parts)

    def without_bytes(self) -> WriteJob:
        """Return what names the job, without the bytes that it keeps in memory."""
        own = self.snapshot
        bare = Snapshot(own.n_tokens, own.start, b"", own.window_start, b"", None)
        return replace(self, snapshot=bare, extra=b"")

    def is_same(self, other: WriteJob) -> bool:
        """Whether both are for the same tokens, form and profile."""
        mine, others = (self.packed, self.form, self.profile), (other.packed, other.form)
        return mine == (*others, other.profile)

    def brings_all_of(self, other: WriteJob) -> bool:
        """Whether the rows and the state of a job for the same tokens are in this one."""
        mine, others = self.snapshot, other.snapshot
        has_window = mine.window_start <= others.window_start
        has_state = mine.state is not None or others.state is None
        return self._has_rows_of(other) and has_window and has_state

    def brings_rows_of(self, other: WriteJob) -> bool:
        """Whether it brings all of a turn that has rows of its beginning, and nothing else."""
        has_rows_only = other.snapshot.state is None and not other.profile and other.role == "turn"
        has_window = other.snapshot.window_start < other.snapshot.n_tokens
        is_longer = self.form == other.form and self.packed.startswith(other.packed)
        return has_rows_only and not has_window and is_longer and self._has_rows_of(other)

    def _has_rows_of(self, other: WriteJob) -> bool:
        has_none = other.snapshot.start == other.snapshot.n_tokens
        return has_none or self.snapshot.start <= other.snapshot.start

    def goes_on_from(self, older: WriteJob) -> bool:
        """Whether this turn begins with the other one, which is of no more use then."""
        turns = self.role == older.role == "turn" and not self.profile and not older.profile
        if not turns or self.form != older.form or not self.packed.startswith(older.packed):
            return False
        drops_state = older.snapshot.state is None or self.drops_older
        return self._has_rows_of(older) and drops_state

    def makes_needless(self, older: WriteJob) -> bool:
        """Whether nothing is lost where this job is done and not the other one."""
        return self.goes_on_from(older) or (self.is_same(older) and self.brings_all_of(older))


class Store(Protocol):
    """What the thread needs of `DiskStore`."""

    def write_snapshot(
        self,
        tokens: list[int],
        snapshot: Snapshot,
        *,
        extra: bytes,
        role: Role,
        profile: str,
        form: str,
        drops_older: bool,
        throttle: Callable[[], None],
    ) -> bool:
        """Keep what is lacking of a snapshot."""


class DiskWriter:
    """Writes entries in a thread of its own, throttled while streams run.

    Args:
        store: where entries go.
        is_busy: whether streams run, which the writing must not disturb.
        notify: gets a level (`error`) and a sentence.
        max_pending: how many entries may wait.
        max_pending_bytes: memory that those waiting may take; a single one may always wait.
    """

    def __init__(
        self,
        store: Store,
        *,
        is_busy: Callable[[], bool],
        notify: Callable[[str, str], None],
        max_pending: int = 8,
        max_pending_bytes: int = 256 * 1024 * 1024,
    ) -> None:
        self._store = store
        self._is_busy = is_busy
        self._notify = notify
        self._max_pending = max_pending
        self._max_pending_bytes = max_pending_bytes
        self._queue: list[WriteJob] = []
        self._current: WriteJob | None = None
        self._changed = threading.Condition()
        self._is_unthrottled = threading.Event()
        self._is_closed = False
        self._has_reported = False
        self._piece_began_s = 0.0
        self._thread = threading.Thread(target=self._run, name="prompt-cache-writer", daemon=True)
        self._thread.start()

    @property
    def pending(self) -> int:
        """Entries that wait or are being written."""
        with self._changed:
            return len(self._pending())

    def _pending(self) -> list[WriteJob]:
        return self._queue if self._current is None else [self._current, *self._queue]

    def submit(self, job: WriteJob) -> bool:
        """Let an entry be written.

        Waiting turns that this one goes on from are dropped, and so are the oldest turns where
        there is no room to wait.

        Returns:
            False where it will not be: no room to wait, or closed.
        """
        with self._changed:
            if self._is_closed:
                return False
            same = [other for other in self._pending() if job.is_same(other)]
            if any(other.brings_all_of(job) for other in same):
                return True
            if any(other.brings_rows_of(job) for other in self._pending()):
                return True
            kept = [older for older in self._queue if not job.makes_needless(older)]
            while kept and not self._has_room(kept, job):
                oldest_turn = next((each for each in kept if each.role == "turn"), None)
                if oldest_turn is None:
                    return False
                kept.remove(oldest_turn)
            self._queue = [*kept, job]
            self._changed.notify_all()
            return True

    def _has_room(self, waiting: list[WriteJob], job: WriteJob) -> bool:
        n_bytes = sum(each.n_bytes for each in waiting) + job.n_bytes
        return len(waiting) < self._max_pending and n_bytes <= self._max_pending_bytes

    def wait(self, job: WriteJob | None = None, timeout_s: float | None = None) -> bool:
        """Wait until an entry, or all that wait, is written or dropped.

        Returns:
            False where the time was not enough.
        """

        def is_done() -> bool:
            pending = self._pending()
            return not (pending if job is None else any(job.is_same(each) for each in pending))

        with self._changed:
            return self._changed.wait_for(is_done, timeout_s)

    def drop_waiting(self) -> None:
        """Forget what waits; the entry being written goes on."""
        with self._changed:
            self._queue = []
            self._changed.notify_all()

    def unthrottle(self) -> None:
        """Write without pauses from now on."""
        self._is_unthrottled.set()

    def close(self, timeout_s: float) -> int:
        """Write what waits, as far as the time allows, and end.

        Returns:
            How many entries were left.
        """
        self.unthrottle()
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self.wait(timeout_s=timeout_s)
        with self._changed:
            n_left = len(self._pending())
            self._queue = []
        if not n_left:
            self._thread.join(timeout_s)
        return n_left

    def _run(self) -> None:
        with contextlib.suppress(OSError):  # on Linux a thread has a niceness of its own
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
        while (job := self._next()) is not None:
            try:
                self._write(job)
            except Exception as error:
                self._report_failure(error)
            with self._changed:
                self._current = None
                self._changed.notify_all()

    def _next(self) -> WriteJob | None:
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._is_closed)
            self._current = self._queue.pop(0) if self._queue else None
            return self._current

    def _write(self, job: WriteJob) -> None:
        self._piece_began_s = time.monotonic()
        self._store.write_snapshot(
            job.tokens,
            job.snapshot,
            extra=job.extra,
            role=job.role,
            profile=job.profile,
            form=job.form,
            drops_older=job.drops_older,
            throttle=self._throttle,
        )

    def _throttle(self) -> None:
        """Sleep, so that running streams get four fifths of the processor."""
        if not self._is_unthrottled.is_set() and self._is_busy():
            worked_s = time.monotonic() - self._piece_began_s
            self._is_unthrottled.wait(min(_PAUSE_PER_WORK * worked_s, MAX_PAUSE_S))
        self._piece_began_s = time.monotonic()

    def _report_failure(self, error: Exception) -> None:
        if not self._has_reported:
            self._has_reported = True
            self._notify("error", f"Writing to the prompt cache failed: {error!r}")
