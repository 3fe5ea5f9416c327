"""Owns the choice of what makes room; must know no files."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from app.promptcache.folders import EntryOnDisk


def choose_victims(
    on_disk: Iterable[EntryOnDisk], excess_bytes: int, order: Callable[[EntryOnDisk], float]
) -> tuple[list[EntryOnDisk], bool]:
    """Choose the entries to evict.

    Args:
        on_disk: the entries of all models; pinned ones are never chosen.
        excess_bytes: what is to be freed.
        order: the lowest go first.

    Returns:
        The entries, and whether they are enough.
    """
    victims = []
    evictable = sorted((each for each in on_disk if not each.is_pinned), key=order)
    for each in evictable:
        if excess_bytes <= 0:
            break
        victims.append(each)
        excess_bytes -= each.n_bytes
    return victims, excess_bytes <= 0
