"""Owns the lists that a chat template makes and may change; must not know jinja2 or any limit."""

from __future__ import annotations

from typing import Any

GROWING = frozenset({"append", "extend", "insert"})
CHANGING = GROWING | {"pop"}
"""Methods that published templates use on their own lists, as queues and to collect."""


class OwnList(list[Any]):
    """A list that the template wrote out, added up or copied; no client's or caller's is one."""

    __slots__ = ()


def may_change(value: Any, method: str) -> bool:
    """Return whether a template may call this method although it changes `value`."""
    return type(value) is OwnList and method in CHANGING


def n_added(owner: OwnList, method: str, argument: Any) -> int:
    """Return how many items a call of `method` with a first argument adds to `owner`."""
    if method == "extend":
        return len(argument)
    return 1 if method in GROWING else 0
