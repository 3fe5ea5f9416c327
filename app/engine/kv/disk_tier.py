"""Owns the disk tier as the engine uses it, and that there may be none; must not know llama.cpp."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

import msgspec

from app.engine.kv.memory_store import MemoryEntry
from app.promptcache import DiskStore, DiskWriter, EntryContent, PrefixMatch, Role, WriteJob
from app.protocol import CacheCounts, DiskEntry, LogLine

_MAX_LOG_LINES = 32


@dataclass(frozen=True, slots=True)
class Disk:
    """A store and the thread that writes to it."""

    store: DiskStore
    writer: DiskWriter


@dataclass(frozen=True, slots=True, eq=False)
class Save:
    """An entry on its way to the disk.

    Args:
        disk: where to.
        tokens: which entry.
        job: names what the writer does for it, without the state, which is the writer's alone:
            where several ask for one entry, one of them is kept. None: there is nothing to do.
    """

    disk: Disk
    tokens: Sequence[int]
    job: WriteJob | None

    @property
    def is_done(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.job is None or self.disk.writer.wait(self.job, timeout_s=0.0)

    @property
    def is_there(self) -> bool:
        """Whether the disk has it."""
        return self.disk.store.covers(self.tokens)


class LogBuffer:
    """The latest log lines of the prompt cache, until the loop sends them."""

    def __init__(self) -> None:
        self._lines: deque[LogLine] = deque(maxlen=_MAX_LOG_LINES)

    @property
    def has_lines(self) -> bool:
        """Whether there is something to send."""
        return bool(self._lines)

    def add(self, level: str, text: str) -> None:
        """Add a line; may be called from any thread."""
        self._lines.append(LogLine(level=level, source="prompt cache", text=text))

    def take(self) -> list[LogLine]:
        """Return and forget the lines."""
        lines = []
        while self._lines:
            lines.append(self._lines.popleft())
        return lines


class DiskCacheTier:
    """What is kept on disk.

    Args:
        disk: where; None keeps nothing.
        log: gets the log lines of `disk`.
        extra_of: returns the few bytes that are kept with some tokens.
        trouble: why there is no disk, where one is wanted.
    """

    def __init__(
        self,
        disk: Disk | None = None,
        *,
        log: LogBuffer | None = None,
        extra_of: Callable[[Sequence[int]], bytes] = lambda _: b"",
        trouble: str = "",
    ) -> None:
        self._disk = disk
        self._log = log or LogBuffer()
        self._extra_of = extra_of
        self._trouble = trouble
        self._n_saves = 0
        self._saves: list[Save] = []
        self._offers: list[tuple[MemoryEntry, Save]] = []
        self._profiles: dict[str, list[int]] = {}

    def take_log_lines(self) -> list[LogLine]:
        """Return the log lines since the last time."""
        return self._log.take()

    @property
    def has_pending(self) -> bool:
        """Whether there are writes to be followed up, or log lines to be sent."""
        return bool(self._saves or self._offers or self._log.has_lines)

    @property
    def is_on(self) -> bool:
        """Whether there is a disk."""
        return self._disk is not None

    @property
    def has_entries(self) -> bool:
        """Whether there is anything to be found."""
        return self._disk is not None and self._disk.store.newest_tokens() is not None

    def find(self, tokens: Sequence[int], skip: Collection[str] = ()) -> PrefixMatch | None:
        """Return the entry that shares the longest useful prefix with `tokens`."""
        return self._disk.store.find(tokens, skip=skip) if self._disk else None

    def read(self, found: PrefixMatch) -> EntryContent | None:
        """Return what `find` found; None where it was bad or is gone."""
        return self._disk.store.read(found) if self._disk else None

    def tokens_like(self, tokens: Sequence[int]) -> Sequence[int] | None:
        """Return those of the entry that shares the most with `tokens`, or was used last."""
        if self._disk is None:
            return None
        found = self._disk.store.find(tokens)
        return self._disk.store.tokens_of(found) if found else self._disk.store.newest_tokens()

    def fits(self, tokens: Sequence[int], state: bytearray) -> bool:
        """Whether the disk would ever take an entry of this size."""
        return self._disk is not None and self._disk.store.fits(len(tokens), len(state))

    def covers(self, tokens: Sequence[int]) -> bool:
        """Whether an entry can serve in the place of these tokens; so without a disk, too."""
        return self._disk is None or self._disk.store.covers(tokens)

    def save(
        self, tokens: Sequence[int], state: bytearray | None, role: Role, profile: str = ""
    ) -> Save | None:
        """Have an entry written soon.

        Args:
            state: None where the disk has the entry already.

        Returns:
            The write to follow; None where there is no disk.
        """
        if self._disk is None:
            return None
        if profile:
            self._profiles[profile] = list(tokens)
        job = None
        if state is not None:
            job = WriteJob(
                tokens=list(tokens),
                state=state,
                extra=self._extra_of(tokens),
                role=role,
                profile=profile,
                replaces=role == "turn" and self._disk.store.can_cut,
            )
            self._disk.writer.submit(job)
            job = replace(job, state=b"", extra=b"")
        save = Save(self._disk, tokens, job)
        if job is not None:
            self._saves.append(save)
        return save

    def offer(self, entry: MemoryEntry) -> None:
        """Have a conversation in memory written, once, unless the disk has it or cannot take it."""
        if entry.was_offered:
            return
        entry.was_offered = True
        if self.fits(entry.tokens, entry.state) and not self.covers(entry.tokens):
            save = self.save(entry.tokens, entry.state, "turn")
            if save is not None:
                self._offers.append((entry, save))

    def take_refused(self) -> list[MemoryEntry]:
        """Return the offered conversations that could not be written."""
        done = [offer for offer in self._offers if offer[1].is_done]
        self._offers = [offer for offer in self._offers if offer not in done]
        return [entry for entry, save in done if not save.is_there]

    def count_written(self) -> None:
        """Count the entries that have been written since the last call."""
        done = [save for save in self._saves if save.is_done]
        self._saves = [save for save in self._saves if save not in done]
        self._n_saves += sum(save.is_there for save in done)

    def wait(self, save: Save, timeout_s: float) -> None:
        """Wait until an entry is written or given up."""
        if self._disk and save.job:
            self._disk.writer.wait(save.job, timeout_s=timeout_s)

    def unthrottle(self) -> None:
        """Write at full speed from now on."""
        if self._disk:
            self._disk.writer.unthrottle()

    def keep_profiles(self, names: set[str]) -> None:
        """Let the entries of other profiles, and what these were before, be evicted."""
        self._profiles = {name: kept for name, kept in self._profiles.items() if name in names}
        if self._disk:
            self._disk.store.unpin_except({name: self._profiles.get(name) for name in names})

    def clear(self) -> tuple[int, int]:
        """Forget all, what waits to be written too; return how many entries and bytes it was."""
        if self._disk is None:
            return 0, 0
        self._disk.writer.drop_waiting()
        return self._disk.store.clear()

    def close(self, timeout_s: float) -> None:
        """Write what is still to be written, at full speed."""
        if self._disk:
            self._disk.writer.close(timeout_s)

    def fill(self, counts: CacheCounts) -> CacheCounts:
        """Return `counts` with what is known of the disk."""
        if self._disk is None:
            return msgspec.structs.replace(counts, trouble=self._trouble)
        self.count_written()
        status = self._disk.store.status()
        return msgspec.structs.replace(
            counts,
            disk_entries=status.n_entries,
            disk_bytes=status.n_bytes,
            disk_capacity_bytes=status.capacity_bytes,
            disk_saves=self._n_saves,
            disk_evicted=status.n_evicted,
            disk_bad_entries=status.n_bad,
            disk_waiting=self._disk.writer.pending,
            written_today_bytes=status.written_today_bytes,
            daily_write_bytes=status.daily_write_bytes,
            trouble=status.write_error,
        )

    def entries(self) -> list[DiskEntry]:
        """Return what is on disk."""
        if self._disk is None:
            return []
        return [
            DiskEntry(
                id=entry.entry_id,
                role=entry.role,
                profile=entry.profile,
                tokens=entry.n_tokens,
                bytes=entry.n_bytes,
                created_s=entry.created_s,
                last_used_s=entry.last_used_s,
            )
            for entry in self._disk.store.list_entries()
        ]
