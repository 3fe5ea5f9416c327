"""A clock that stands still, for tests that render the same prompt twice."""

from __future__ import annotations

import datetime

import pytest

from app.engine.prompt.conversation_date import ConversationDates

MOMENT = datetime.datetime(2024, 7, 26)


@pytest.fixture
def one_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the clock stand still: some templates write the time."""
    monkeypatch.setattr(ConversationDates, "of", lambda _dates, _messages: MOMENT)
