"""Owns cutting a snapshot into the blocks that the disk lacks; must know no files and no locks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

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
    packed: bytes,
    snapshot: Snapshot,
    blocks: PageIndex,
    window_start_of: Callable[[str], int],
    *,
    most_bytes: int = MAX_BLOCK_BYTES,
) -> list[Span] | None:
    """Return the blocks that are to be written, so that all rows of a snapshot are held.

    Args:
        packed: the snapshot's tokens, from position 0.
        blocks: those that are there.
        window_start_of: returns the position of a block's first window row.
        most_bytes: rows that a block may have; it has one page at least.

    Returns:
        None where it would be of no use, for rows before it are missing.

    Raises:
        ValueError: the rows of the snapshot do not fit its positions.
    """
    rows = SnapshotRows(snapshot)
    links = follow(packed, [blocks])
    n_held = links[-1].end if links else 0
    if n_held < snapshot.start:
        return None
    size = max(1, rows.token_bytes + rows.window_token_bytes)
    n_pages = max(1, most_bytes // size // PAGE_TOKENS)
    holders = list(_holders(packed, blocks))
    spans = []
    if n_held < snapshot.n_tokens:
        for start, end in _gaps(holders, n_held // PAGE_TOKENS, snapshot.n_tokens):
            spans += list(_cut(start, end, n_pages, snapshot.window_start))
    starts = [(span.end, span.window_start) for span in spans]
    starts += [
        (min((page + 1) * PAGE_TOKENS, snapshot.n_tokens), window_start_of(block_id))
        for page, block_id in enumerate(holders)
        if block_id is not None
    ]
    is_held = _window_start(starts, snapshot.n_tokens) <= snapshot.window_start
    if not is_held and snapshot.start < snapshot.n_tokens:
        spans = _with_window(spans, snapshot)
    return spans


def _holders(packed: bytes, blocks: PageIndex) -> Iterator[str | None]:
    """Yield a block that holds each page, None where none does; the last page may be incomplete."""
    name, n_bytes = b"", 0
    for following in page_names(packed):
        yield blocks.holder(following)
        name, n_bytes = following, n_bytes + PAGE_TOKENS * TOKEN_BYTES
    if rest := packed[n_bytes:]:
        longest = blocks.longest_after(name, n_bytes // TOKEN_BYTES, rest)
        is_held = longest is not None and longest[1] * TOKEN_BYTES == len(rest)
        yield longest[0] if longest is not None and is_held else None


def _gaps(holders: list[str | None], first: int, n_tokens: int) -> Iterator[tuple[int, int]]:
    """Yield start and end of the pages, one after the other, that no block holds."""
    start = None
    for page in range(first, len(holders)):
        if holders[page] is None and start is None:
            start = page
        if holders[page] is not None and start is not None:
            yield start * PAGE_TOKENS, page * PAGE_TOKENS
            start = None
    if start is not None:
        yield start * PAGE_TOKENS, n_tokens


def _cut(start: int, end: int, n_pages: int, window_start: int) -> Iterator[Span]:
    """Cut a gap into spans of about the same number of pages, with the window rows of each."""
    total = -(-(end - start) // PAGE_TOKENS)
    n_spans = -(-total // n_pages)
    size = -(-total // n_spans) * PAGE_TOKENS
    for first in range(start, end, size):
        last = min(first + size, end)
        yield Span(first, last, min(max(window_start, first), last))


def _window_start(starts: list[tuple[int, int]], n_tokens: int) -> int:
    """Return the position from which on blocks have window rows without a gap.

    Args:
        starts: where each block ends, and where its window rows begin.
    """
    first = n_tokens
    for end, window_start in sorted(starts, reverse=True):
        if end < first:
            break
        first = min(first, window_start)
    return first


def _with_window(spans: list[Span], snapshot: Snapshot) -> list[Span]:
    """Have the last block bring all window rows; one of the last page where there is none."""
    n_tokens = snapshot.n_tokens
    if not spans or spans[-1].end < n_tokens:
        last_page = (n_tokens - 1) // PAGE_TOKENS * PAGE_TOKENS
        spans = [*spans, Span(max(last_page, snapshot.start), n_tokens, n_tokens)]
    return [*spans[:-1], replace(spans[-1], window_start=snapshot.window_start)]
