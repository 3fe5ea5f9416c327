"""Owns the disk tier as the engine uses it, and that there may be none; must not know llama.cpp."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from app.engine.kv.state_shape import NO_STATE, StateShape
from app.promptcache import (
    PIN_FORM,
    BlockContent,
    BlockInfo,
    DiskStore,
    DiskWriter,
    EntryContent,
    Link,
    PageIndex,
    PrefixMatch,
    Role,
    Snapshot,
    WriteJob,
)
from app.protocol import CacheCounts, DiskEntry, KindCounts, LogLine

MEMORY, DISK = 0, 1
_MAX_LOG_LINES = 32


@dataclass(frozen=True, slots=True)
class Disk:
    """A store and the thread that writes to it."""

    store: DiskStore
    writer: DiskWriter


@dataclass(frozen=True, slots=True, eq=False)
class Save:
    """Tokens on their way to the disk.

    Args:
        disk: where to.
        tokens: which.
        job: names what the writer does for them, without the bytes, which are the writer's alone:
            where several ask for the same, one of them is kept. None: there is nothing to do.
        needs_rows: whether blocks have to be there that hold them.
        needs_state: whether a state has to be there.
        is_pinned: whether they have to be pinned for a profile.
    """

    disk: Disk
    tokens: Sequence[int]
    job: WriteJob | None
    needs_rows: bool
    needs_state: bool
    is_pinned: bool = False

    @property
    def is_done(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.job is None or self.disk.writer.wait(self.job, timeout_s=0.0)

    @property
    def is_there(self) -> bool:
        """Whether the disk has them."""
        store, n_tokens = self.disk.store, len(self.tokens)
        has_rows = not self.needs_rows or store.n_covered(self.tokens) >= n_tokens
        if self.is_pinned and not store.has_state(self.tokens, form=PIN_FORM):
            return False
        return has_rows and (not self.needs_state or store.has_state(self.tokens))


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
        shape: what of the model's state is kept how.
        log: gets the log lines of `disk`.
        extra_of: returns the few bytes that are kept with some tokens.
        trouble: why there is no disk, where one is wanted.
    """

    def __init__(
        self,
        disk: Disk | None = None,
        shape: StateShape = NO_STATE,
        *,
        log: LogBuffer | None = None,
        extra_of: Callable[[Sequence[int]], bytes] = lambda _: b"",
        trouble: str = "",
    ) -> None:
        self._disk = disk
        self._shape = shape
        self._log = log or LogBuffer()
        self._extra_of = extra_of
        self._trouble = trouble
        self._n_saves = 0
        self._saves: list[Save] = []
        self._profiles: dict[str, list[int]] = {}

    def take_log_lines(self) -> list[LogLine]:
        """Return the log lines since the last time."""
        return self._log.take()

    @property
    def has_pending(self) -> bool:
        """Whether there are writes to be followed up, or log lines to be sent."""
        return bool(self._saves or self._log.has_lines)

    @property
    def is_on(self) -> bool:
        """Whether there is a disk."""
        return self._disk is not None

    @property
    def has_entries(self) -> bool:
        """Whether there is anything to be found."""
        return self._disk is not None and self._disk.store.has_entries

    # ------------------------------------------------------------ look-up

    def chain(self, tokens: Sequence[int], memory: PageIndex | None) -> list[Link]:
        """Return the blocks that hold a prompt from its start on, memory's before the disk's."""
        return self._disk.store.chain(tokens, memory) if self._disk else []

    def states(self, tokens: Sequence[int]) -> list[PrefixMatch]:
        """Return the states after prefixes of a prompt, the longest first."""
        return self._disk.store.states(tokens) if self._disk else []

    def ends(self, tokens: Sequence[int]) -> list[int]:
        """Return where blocks with window rows end that lead a prompt, the longest first."""
        return self._disk.store.ends(tokens) if self._disk else []

    def block(self, block_id: str) -> BlockInfo | None:
        """Return a block without its rows; None where it is gone."""
        return self._disk.store.block(block_id) if self._disk else None

    def read_block(self, block_id: str, *, with_window: bool = True) -> BlockContent | None:
        """Return a block, with its window rows or without; None where it was bad or is gone."""
        if self._disk is None:
            return None
        return self._disk.store.read_block(block_id, with_window=with_window)

    def read_state(self, found: PrefixMatch) -> EntryContent | None:
        """Return a state; None where it was bad or is gone."""
        return self._disk.store.read(found) if self._disk else None

    def mark_used(self, links: Sequence[Link]) -> None:
        """Make the blocks of a chain the most recently used ones; memory's are left out."""
        on_disk = [link.block_id for link in links if link.tier == DISK]
        if self._disk and on_disk:
            self._disk.store.mark_used(on_disk)

    def tokens_like(self, tokens: Sequence[int]) -> Sequence[int] | None:
        """Return those of what shares the most with `tokens`, or was used last."""
        if self._disk is None:
            return None
        links = self._disk.store.chain(tokens)
        if links:
            return self._disk.store.block_tokens(links[-1].block_id)
        return self._disk.store.newest_tokens()

    # ------------------------------------------------------------ writing

    def save(
        self,
        tokens: Sequence[int],
        snapshot: Snapshot | None,
        role: Role,
        profile: str = "",
        *,
        with_state: bool = True,
    ) -> Save | None:
        """Have tokens written soon.

        Args:
            snapshot: what the disk lacks of them; None where it has all, or nobody else has.
            with_state: whether a state after them has to be there, where the model has any.

        Returns:
            The write to follow; None where there is no disk.
        """
        if self._disk is None:
            return None
        if profile:
            self._profiles[profile] = list(tokens)
        job = None
        if snapshot is not None:
            job = WriteJob(
                tokens=list(tokens),
                snapshot=snapshot,
                extra=self._extra_of(tokens),
                role=role,
                profile=profile,
                drops_older=role == "turn" and with_state,
            )
            self._disk.writer.submit(job)
            job = job.without_bytes()
        has_rows = not self._shape.is_whole
        has_state = with_state and self._shape.needs_state
        save = Save(self._disk, tokens, job, has_rows, has_state, bool(profile))
        if job is not None:
            self._saves.append(save)
        return save

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
            disk_kinds=KindCounts(
                blocks=status.n_blocks,
                block_bytes=status.block_bytes,
                states=status.n_states,
                state_bytes=status.state_bytes,
            ),
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
        """Return what is on disk: its blocks, states and pins."""
        if self._disk is None:
            return []
        return [
            DiskEntry(
                id=entry.entry_id,
                kind=entry.form if entry.form == PIN_FORM else entry.kind,
                role="profile" if entry.profile else entry.role,
                profile=entry.profile,
                start=entry.start,
                tokens=entry.n_tokens,
                bytes=entry.n_bytes,
                created_s=entry.created_s,
                last_used_s=entry.last_used_s,
            )
            for entry in self._disk.store.list_entries()
        ]
