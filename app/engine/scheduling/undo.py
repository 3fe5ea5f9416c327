"""Owns what of a decoded step can be undone, by kind of model, and why the rest cannot."""

from __future__ import annotations

from dataclasses import dataclass

_NO_WAY_BACK = "recurrent layers cannot go back to an earlier token"
_NO_STEP_BACK = "recurrent layers cannot go back to where they were before a step"
_UNKNOWN_WINDOW = "whether a sliding window is complete cannot be told"


@dataclass(frozen=True, slots=True)
class Undo:
    """What the engine leaves out because it could not be undone.

    Args:
        no_drafts: why it makes no drafts, as rejected ones have to be removed; empty: it does.
        no_abort: why it finishes each step that it began, also where its request was cancelled;
            empty: it does not.
    """

    no_drafts: str = ""
    no_abort: str = ""


def undo_of(*, is_recurrent: bool, n_rollback: int, n_swa: int, knows_windows: bool) -> Undo:
    """Return what a model's memory allows.

    Args:
        is_recurrent: whether it has recurrent layers.
        n_rollback: how many tokens of a step these can go back.
        n_swa: tokens that a sliding window holds; 0 for none.
        knows_windows: whether it can be told what windows have lost.
    """
    if is_recurrent:
        return Undo(no_drafts="" if n_rollback else _NO_WAY_BACK, no_abort=_NO_STEP_BACK)
    return Undo(no_drafts=_UNKNOWN_WINDOW if n_swa and not knows_windows else "")
