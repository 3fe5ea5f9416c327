"""Answers that are being generated are known to their own clients only."""

from __future__ import annotations

import pytest

from app.api.streaming.running_answers import RunningAnswers
from tests.api.requests import command


def test_an_answer_is_known_as_long_as_it_is_generated() -> None:
    answers = RunningAnswers()
    assert answers.find("a", "") is None
    with answers.note("a", "", [command()]):
        found = answers.find("a", "")
        assert found is not None
        assert found.request_ids == (command().request_id,)
    assert answers.find("a", "") is None


def test_an_answer_that_fails_is_forgotten() -> None:
    answers = RunningAnswers()
    with pytest.raises(ValueError, match="broken"), answers.note("a", "", []):
        raise ValueError("broken")
    assert answers.find("a", "") is None


@pytest.mark.parametrize("other", ["", "bob", "Ann"])
def test_the_answer_of_another_key_is_not_found(other: str) -> None:
    answers = RunningAnswers()
    with answers.note("a", "ann", []):
        assert answers.find("a", "ann") is not None
        assert answers.find("a", other) is None
