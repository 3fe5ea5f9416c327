"""Only small recurrent states are kept several times."""

from __future__ import annotations

import pytest

from app.engine.decode.speculation import MAX_DRAFT_TOKENS
from app.parameters.rollback import n_rollback


def test_all_drafted_tokens_can_be_taken_back() -> None:
    assert n_rollback("lfm2", 0) == MAX_DRAFT_TOKENS


@pytest.mark.parametrize(
    ("architecture", "n_window"), [("qwen35", 0), ("granitehybrid", 0), ("llama", 0), ("lfm2", 512)]
)
def test_others_keep_one_state(architecture: str, n_window: int) -> None:
    assert n_rollback(architecture, n_window) == 0
