"""What cannot be undone is left out, with a reason."""

from __future__ import annotations

import pytest

from app.engine.scheduling.undo import undo_of


def test_where_every_layer_sees_everything_all_can_be_undone() -> None:
    undo = undo_of(is_recurrent=False, n_rollback=0, n_swa=0, knows_windows=False)
    assert (undo.no_drafts, undo.no_abort) == ("", "")


def test_with_a_window_drafts_need_to_know_what_it_lost() -> None:
    assert undo_of(is_recurrent=False, n_rollback=0, n_swa=512, knows_windows=True).no_drafts == ""
    undo = undo_of(is_recurrent=False, n_rollback=0, n_swa=512, knows_windows=False)
    assert "window" in undo.no_drafts
    assert undo.no_abort == ""


@pytest.mark.parametrize("n_swa", [0, 512])
def test_recurrent_layers_keep_what_they_took_in(n_swa: int) -> None:
    undo = undo_of(is_recurrent=True, n_rollback=0, n_swa=n_swa, knows_windows=True)
    assert "recurrent" in undo.no_drafts
    assert "recurrent" in undo.no_abort


def test_recurrent_layers_with_states_to_go_back_to_take_drafts() -> None:
    undo = undo_of(is_recurrent=True, n_rollback=7, n_swa=0, knows_windows=False)
    assert undo.no_drafts == ""
    assert "recurrent" in undo.no_abort
