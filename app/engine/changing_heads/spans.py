"""Owns where two token sequences differ although what surrounds it is the same; pure."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass

from app.base.prefix import common_prefix

_ANCHOR = 6  # tokens in a row that must agree for the sequences to be at the same place again
_WINDOWS = (24, 256)  # tokens of each that are searched for such a place: values are short
_MAX_SPANS = 64


@dataclass(frozen=True, slots=True)
class Span:
    """Tokens `[start, end)` of the new sequence that replace `[old_start, old_end)` of the old."""

    old_start: int
    old_end: int
    start: int
    end: int


def common_suffix(left: array[int], right: array[int]) -> int:
    """Return how many trailing tokens two sequences share."""
    return common_prefix(left[::-1], right[::-1])


def changed_spans(old: array[int], new: array[int]) -> list[Span]:
    """Return the spans in which two sequences differ, in order.

    It takes time in proportion to the length, not to its square: after a difference the next place
    is sought where a few tokens in a row agree. Where none is near, the rest is one span up to the
    tokens that both end with; so is what follows a large number of spans.
    """
    at = old_at = common_prefix(old, new)
    n_tail = min(common_suffix(old, new), min(len(old), len(new)) - at)
    old_end, end = len(old) - n_tail, len(new) - n_tail
    spans: list[Span] = []
    while old_at < old_end or at < end:
        old_next, next_at = old_end, end
        if len(spans) < _MAX_SPANS - 1:
            old_next, next_at = _next_match(old[old_at:old_end], new[at:end])
            old_next, next_at = old_at + old_next, at + next_at
        spans.append(Span(old_at, old_next, at, next_at))
        n_same = common_prefix(old[old_next:old_end], new[next_at:end])
        old_at, at = old_next + n_same, next_at + n_same
    return spans


def _next_match(old: array[int], new: array[int]) -> tuple[int, int]:
    """Return how far to go in each until they agree again; to their ends if they do not."""
    for window in _WINDOWS:
        places: dict[bytes, int] = {}
        for at, run in _runs(old, window):
            places.setdefault(run, at)
        found = ((places[run], at) for at, run in _runs(new, window) if run in places)
        if nearest := min(found, key=sum, default=None):
            return nearest
    return len(old), len(new)


def _runs(tokens: array[int], window: int) -> Iterator[tuple[int, bytes]]:
    """Yield the runs of tokens within a window that may be found again, with their places."""
    data, size = tokens[: window + _ANCHOR - 1].tobytes(), tokens.itemsize
    for at in range(len(data) // size - _ANCHOR + 1):
        yield at, data[at * size : (at + _ANCHOR) * size]
