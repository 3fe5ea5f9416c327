"""Owns what operators are told of a head that keeps changing; pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from app.engine.changing_heads.family import Change
from app.protocol import ChangingHead

_N_VALUES = 3
_AT_ITS_END = 64  # tokens
_NAMES: dict[str, str] = {
    "time": "a time of day",
    "date": "a date",
    "identifier": "an identifier",
    "number": "a number",
    "state": "a state such as on or off",
    "text": "words",
}


def report_of(
    changes: Sequence[Change], n_head: int, tokens_per_s: float, *, has_system: bool
) -> ChangingHead:
    """Return the report of changes to one head.

    Args:
        changes: at least one.
        n_head: tokens of the head.
        tokens_per_s: how fast prefill is.
        has_system: whether the head is instructions and tools, or a whole prompt.
    """
    first = min(reversed(changes), key=lambda change: change.start)
    values = dict.fromkeys(change.value for change in changes if change.is_beside(first))
    n_tokens = round(sum(change.n_again for change in changes) / len(changes))
    report = ChangingHead(
        index=first.start,
        head_tokens=n_head,
        kind=first.kind,
        places=max(change.n_places for change in changes),
        changes=len(changes),
        tokens=n_tokens,
        seconds=round(n_tokens / tokens_per_s, 3),
        before=first.before,
        values=[value for value in values if value][-_N_VALUES:],
        message="",
    )
    n_behind = max(change.n_behind for change in changes)
    text = _message(report, has_system=has_system, is_at_end=n_behind < _AT_ITS_END)
    return msgspec.structs.replace(report, message=text)


def _message(report: ChangingHead, *, has_system: bool, is_at_end: bool) -> str:
    """Return a report as sentences that hold nothing of the prompt."""
    what = "instructions of prompts change" if has_system else "beginning of prompts changes"
    places = f" and {report.places - 1} more" if report.places > 1 else ""
    where = "into the last user message or a tool"
    if has_system and not is_at_end:
        where += ", or to the end of the system prompt"
    return (
        f"The {what} from request to request at token {report.index} of {report.head_tokens} "
        f"({_NAMES[report.kind]}{places}): about {report.tokens} tokens are prefilled again each "
        f"time, which takes {_shown(report.seconds)} s. Move what changes behind what stays the "
        f"same: {where}. GET /cache shows the words."
    )


def _shown(seconds: float) -> str:
    return f"{seconds:.0f}" if seconds >= 10 else f"{seconds:.1f}"
