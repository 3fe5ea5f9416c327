"""Owns cutting a snapshot into the blocks that the disk lacks; must know no files and no locks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from app.promptcache.entry_header import EntryBody, n_bytes_of
from app.promptcache.page_index import PAGE_TOKENS, PageIndex, follow, page_names
from app.promptcache.snapshot import Bytes, Snapshot
from app.promptcache.token_bytes import TOKEN_BYTES

MAX_BLOCK_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Span:
    """The positions of a block to be written: of its tokens, and of its first window row."""

    start: int
    end: int
    window_start: int


class SnapshotRows:
    """The rows of a snapshot by position.

    Raises:
        ValueError: they do not fit the positions.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        n_tokens = snapshot.n_tokens
        if snapshot.start % PAGE_TOKENS and snapshot.start != n_tokens:
            raise ValueError(f"rows from {snapshot.start} on do not begin at a page")
        self.token_bytes = _row_bytes(snapshot.rows, snapshot.start, n_tokens)
        self.window_token_bytes = _row_bytes(snapshot.window_rows, snapshot.window_start, n_tokens)

    def body(self, span: Span) -> EntryBody:
        """Return the rows of a block, without a copy."""
        own = self._snapshot
        return EntryBody(
            rows=_rows(own.rows, own.start, span.start, span.end, self.token_bytes),
            window_rows=_rows(
                own.window_rows,
                own.window_start,
                span.window_start,
                span.end,
                self.window_token_bytes,
            ),
        )


def _row_bytes(rows: Bytes, start: int, n_tokens: int) -> int:
    n_rows, n_bytes = n_tokens - start, n_bytes_of(rows)
    if n_rows < 0 or start < 0 or (n_bytes % n_rows if n_rows else n_bytes):
        raise ValueError(f"{n_bytes} bytes are not the rows from {start} to {n_tokens}")
    return n_bytes // n_rows if n_rows else 0


def _rows(rows: Bytes, first: int, start: int, end: int, row_bytes: int) -> Bytes:
    return memoryview(rows).cast("B")[(start - first) * row_bytes : (end - first) * row_bytes]


def missing_spans(
    packed: bytes, snapshot: Snapshot, blocks: PageIndex, most_bytes: int
) -> list[Span] | None:
    """Return the blocks that are to be written, so that all rows of a snapshot are held.

    Args:
        packed: the snapshot's tokens, from position 0.
        blocks: those that are there.
        most_bytes: rows that a block may have; it has one page at least.

    Returns:
        None where it would be of no use, for rows before it are missing.

    Raises:
        ValueError: the rows of the snapshot do not fit its positions.
    """
    rows = SnapshotRows(snapshot)
    links = follow(packed, [blocks])
    if (links[-1].end if links else 0) < snapshot.start:
        return None
    if snapshot.start == snapshot.n_tokens:
        return []
    size = max(1, rows.token_bytes + rows.window_token_bytes)
    n_pages = max(1, most_bytes // size // PAGE_TOKENS)
    held = list(_are_held(packed, snapshot, blocks))
    gaps = _gaps(held, snapshot.start // PAGE_TOKENS, snapshot.n_tokens)
    return [
        span for start, end in gaps for span in _cut(start, end, n_pages, snapshot.window_start)
    ]


def _are_held(packed: bytes, snapshot: Snapshot, blocks: PageIndex) -> Iterator[bool]:
    """Yield whether a block holds each page with the window rows that the snapshot has of it.

    The last page may be incomplete.
    """
    name, position = b"", 0
    for following in page_names(packed):
        found = blocks.holder(following, position)
        end = position + PAGE_TOKENS
        yield found is not None and found[0] <= max(position, snapshot.window_start)
        name, position = following, end
    if rest := packed[position * TOKEN_BYTES :]:
        longest = blocks.longest_after(name, position, rest)
        n_held = position + (longest.n_tokens if longest is not None else 0)
        n_rows = longest.n_window_rows if longest is not None else 0
        n_wanted = snapshot.n_tokens - max(position, snapshot.window_start)
        yield n_held == snapshot.n_tokens and n_rows >= n_wanted


def _gaps(held: list[bool], first: int, n_tokens: int) -> Iterator[tuple[int, int]]:
    """Yield start and end of the pages, one after the other, that no block holds."""
    for is_held, pages in groupby(range(first, len(held)), key=held.__getitem__):
        if not is_held:
            numbers = list(pages)
            end = min((numbers[-1] + 1) * PAGE_TOKENS, n_tokens)
            yield numbers[0] * PAGE_TOKENS, end


def _cut(start: int, end: int, n_pages: int, window_start: int) -> Iterator[Span]:
    """Cut a gap into spans of about the same number of pages, with the window rows of each."""
    total = -(-(end - start) // PAGE_TOKENS)
    n_spans = -(-total // n_pages)
    size = -(-total // n_spans) * PAGE_TOKENS
    for first in range(start, end, size):
        last = min(first + size, end)
        yield Span(first, last, min(max(window_start, first), last))
