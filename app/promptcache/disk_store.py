"""Owns the prompt cache of one model on the disk; must know nothing of llama.cpp or requests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from app.promptcache.entries import id_of
from app.promptcache.entry_header import Role
from app.promptcache.page_index import Link, PageIndex, follow
from app.promptcache.records import (
    BlockContent,
    BlockInfo,
    PrefixMatch,
)
from app.promptcache.snapshot import Snapshot
from app.promptcache.state_store import StateStore, do_nothing
from app.promptcache.token_bytes import pack
from app.promptcache.writing.entry_writer import SnapshotDraft


class DiskStore(StateStore):
    """Blocks and states of one model; see `StateStore`.

    A block is found by position: `chain` returns those that hold a prompt. What it holds is read
    by `read_block`, and a state by `read`.
    """

    def chain(self, tokens: Sequence[int], memory: PageIndex | None = None) -> list[Link]:
        """Return the blocks that hold a prompt from its start on, as far as any do.

        Args:
            memory: blocks that go before those on the disk; tier 0 of the links, the disk tier 1.
        """
        packed = pack(tokens)
        self._model_folder.refresh()
        with self._model_folder.lock:
            return follow(packed, [memory or PageIndex(), self._model_folder.table.blocks])

    def ends(self, tokens: Sequence[int]) -> list[int]:
        """Return where blocks with window rows end whose tokens lead a prompt, the longest first.

        Where a chain cannot be gone on from for want of window rows, it can be there.
        """
        packed = pack(tokens)
        self._model_folder.refresh()
        with self._model_folder.lock:
            table = self._model_folder.table
            found = map(table.get, table.window_ends.prefixes_of(packed))
            ends = dict.fromkeys(entry.n_tokens for entry in found if entry is not None)
        return list(ends)

    def n_covered(self, tokens: Sequence[int]) -> int:
        """Return how many leading tokens blocks on the disk hold."""
        links = self.chain(tokens)
        return links[-1].end if links else 0

    def block(self, block_id: str) -> BlockInfo | None:
        """Return what is known of a block, None where it is gone."""
        with self._model_folder.lock:
            entry = self._model_folder.table.get(block_id)
            if entry is None or entry.kind != "block":
                return None
            return BlockInfo(
                start=entry.start,
                end=entry.n_tokens,
                window_start=entry.window_start,
                n_bytes=entry.n_bytes,
                role=entry.role,
                profile=entry.profile,
            )

    def read_block(self, block_id: str, *, with_window: bool = True) -> BlockContent | None:
        """Return the rows of a block.

        Args:
            with_window: whether window rows are wanted; without them it takes less time.

        Returns:
            None where it is gone or bad; a second `chain` ends before it, or goes another way.
            (None also where the memory does not suffice.)
        """
        with self._model_folder.lock:
            entry = self._model_folder.table.get(block_id)
        content = None
        if entry is not None:
            content = self._model_folder.read(entry, with_window=with_window)
        if content is None:
            return None
        with self._model_folder.lock:
            self._n_hits += 1
        header, body = content[0].header, content[1]
        window_start = header.window_start if with_window else header.n_tokens
        return BlockContent(
            header.start, header.n_tokens, body.rows, window_start, body.window_rows
        )

    def mark_used(self, block_ids: Iterable[str]) -> None:
        """Make blocks the most recently used ones, those at the beginning most of all."""
        with self._model_folder.lock:
            found = [self._model_folder.table.get(each) for each in block_ids]
            self._model_folder.mark_used([each for each in found if each is not None])

    def states(self, tokens: Sequence[int], *, form: str = "") -> list[PrefixMatch]:
        """Return the states all of whose tokens lead a prompt, the longest first."""
        packed = pack(tokens)
        self._model_folder.refresh()
        with self._model_folder.lock:
            return [
                PrefixMatch(each.entry_id, each.n_tokens, each.n_tokens, each.n_bytes)
                for each in self._model_folder.table.prefixes_of(packed, form)
            ]

    def has_state(self, tokens: Sequence[int], *, form: str = "") -> bool:
        """Whether there is a state of exactly these tokens."""
        with self._model_folder.lock:
            return self._model_folder.table.get(id_of(pack(tokens), form)) is not None

    def write_snapshot(
        self,
        tokens: Sequence[int],
        snapshot: Snapshot,
        *,
        extra: bytes = b"",
        role: Role = "turn",
        profile: str = "",
        form: str = "",
        drops_older: bool = False,
        throttle: Callable[[], None] = do_nothing,
    ) -> bool:
        """Keep what the disk lacks of a snapshot: blocks with its rows, then its state.

        What is written stays, even where something fails after it: a shorter chain is of use too.

        Args:
            tokens: all that the snapshot stands at the end of, from position 0.
            snapshot: not to be changed while this runs. A state without rows counts as a whole one
                where there are no blocks of its tokens.
            extra: opaque bytes, up to `entry_header.MAX_EXTRA_BYTES`; kept with the
                last block, or with the state where no new block ends with the tokens.
            role: what the tokens are.
            profile: pins all blocks and states of the tokens: they are not evicted.
            form: what kind of state it is; kinds never meet.
            drops_older: whether the states of turns that these tokens go on from are of no more
                use, once there is a state of these.
            throttle: called after each piece of work; may sleep.

        Returns:
            False where not all is written: too short, there already, too large, the day's writes
            used up, no room besides pinned entries, cleared meanwhile, the disk fails, or rows
            before the snapshot's are missing.

        Raises:
            ValueError: a part is larger than the format allows, or does not fit the positions.
        """
        packed = pack(tokens)
        if snapshot.n_tokens != len(tokens):
            raise ValueError(f"a snapshot of {snapshot.n_tokens} tokens for {len(tokens)}")
        draft = SnapshotDraft(
            packed=packed,
            snapshot=snapshot,
            extra=extra,
            role=role,
            profile=profile,
            form=form,
            drops_older=drops_older,
            created_s=self._clock(),
        )
        return self._writer.write_snapshot(draft, throttle)
