"""Recurrent states are kept once: going back to others is not exact beside other requests."""

from __future__ import annotations

import pytest

from app.parameters.rollback import n_rollback


@pytest.mark.parametrize(
    ("architecture", "n_window"), [("qwen35", 0), ("granitehybrid", 0), ("llama", 0), ("lfm2", 0)]
)
def test_all_models_keep_one_state(architecture: str, n_window: int) -> None:
    assert n_rollback(architecture, n_window) == 0
