"""A client is told of its prompt what the logits of each place say of the next token."""

from __future__ import annotations

import math

import numpy as np
import pytest

from app.engine.decode.prompt_echo import Echo
from app.protocol import PromptEcho


def echo(tokens: list[int], n_top: int | None) -> Echo:
    return Echo("r", "text", tokens, n_top, lambda token: f"<{token}>".encode())


def test_a_text_alone_needs_no_logits() -> None:
    plain = echo([3, 1], None)
    assert plain.is_complete
    assert plain.event() == PromptEcho(request_id="r", text="text")


def test_the_first_token_has_no_logprob_and_each_other_that_of_the_row_before_it() -> None:
    scored = echo([3, 1, 2], 2)
    rows = [[1.0, 2.0, 3.0, 0.0], [9.0, 0.0, 0.0, 0.0]]
    for n_rows, row in enumerate(rows):
        assert (scored.n_rows, scored.is_complete) == (n_rows, False)
        scored.add(np.array(row, dtype=np.float32))
    assert scored.is_complete
    first, *others = scored.event().tokens
    assert (first.id, first.piece, first.logprob, first.top) == (3, b"<3>", None, [])
    for token, row in zip(others, rows, strict=True):
        total = math.log(sum(map(math.exp, row)))
        assert token.logprob == pytest.approx(row[token.id] - total, abs=1e-5)
    assert [token.id for token in others] == [1, 2]
    assert [chance.id for chance in others[0].top] == [2, 1]
    assert [chance.piece for chance in others[0].top] == [b"<2>", b"<1>"]


def test_one_token_has_nothing_before_it() -> None:
    assert echo([3], 5).is_complete


def test_the_ids_of_all_tokens_are_told_on_request() -> None:
    plain = Echo("r", "text", [3, 1], None, lambda _token: b"", with_ids=True)
    assert plain.is_complete
    assert plain.event() == PromptEcho(request_id="r", text="text", ids=[3, 1])
