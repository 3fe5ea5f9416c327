"""Owns the ids of tool calls: Anthropic's clients see `toolu_…` where the service has `call_…`."""

from __future__ import annotations

_OWN, _SHOWN = "call_", "toolu_"


def shown_id(call_id: str) -> str:
    """Return the id of a call as clients see it."""
    return _SHOWN + call_id.removeprefix(_OWN)


def own_id(shown: str) -> str:
    """Return the id of a call that a client sent back; those of other services stay as they are."""
    return _OWN + shown.removeprefix(_SHOWN) if shown.startswith(_SHOWN) else shown
