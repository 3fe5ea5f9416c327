"""What a model's state consists of says where a sequence may be gone on from."""

from __future__ import annotations

import pytest

from app.engine.kv.state_shape import StateShape


def test_only_rows_without_window_serve_for_any_beginning() -> None:
    assert StateShape(8).can_cut
    assert not StateShape(8, 4, 512).can_cut
    assert not StateShape(8, state_bytes=100).can_cut
    assert not StateShape(0, is_whole=True).can_cut


def test_a_state_is_needed_with_recurrent_layers_and_where_the_layout_is_not_known() -> None:
    assert StateShape(8, state_bytes=100).needs_state
    assert StateShape(0, is_whole=True).needs_state
    assert not StateShape(8, 4, 512).needs_state


def test_rows_of_a_window_are_no_more_than_it_reaches() -> None:
    assert StateShape(8, 4, 10).row_bytes(5) == 60
    assert StateShape(8, 4, 10).row_bytes(100) == 840


def test_how_a_state_is_kept_has_a_name() -> None:
    assert StateShape(8).layout == StateShape(8, 4, 512).layout == "blocks"
    assert StateShape(8, state_bytes=100).layout == "blocks_and_states"
    assert StateShape(0, is_whole=True, whole_reason="unknown").layout == "whole_states"


@pytest.mark.parametrize(
    ("shape", "needed"),
    [
        (StateShape(1_048_576), 1000),
        (StateShape(1_048_576, 2_097_152, 100), 1200),
        (StateShape(1_048_576, state_bytes=50_000_000), 1096),
    ],
)
def test_memory_for_less_than_a_head_and_two_states_is_too_little(
    shape: StateShape, needed: int
) -> None:
    assert f" take {needed} MiB" in shape.shortage((needed - 1) * 1_048_576)
    assert ("two states" in shape.shortage(1)) == shape.needs_state
    assert shape.shortage(needed * 1_048_576) == shape.shortage(0) == ""
