"""Owns cutting a text or bytes anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from hypothesis import strategies as st

CUTS = st.lists(st.integers(0, 60), max_size=12)


def pieces(length: int, cuts: list[int]) -> Iterator[slice]:
    """Yield slices that cover `length` places, cut at `cuts`."""
    marks = [0, *sorted(cut % (length + 1) for cut in cuts), length]
    return (slice(start, end) for start, end in pairwise(marks))
