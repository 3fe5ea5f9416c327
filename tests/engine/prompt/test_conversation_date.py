"""A conversation keeps the date on which it began."""

from __future__ import annotations

import datetime
import itertools
from typing import Any

from app.engine.prompt.conversation_date import ConversationDates

DAY = datetime.timedelta(days=1)
FIRST = datetime.datetime(2026, 1, 1, 23, 59)
HELLO = [{"role": "system", "content": "s"}, {"role": "user", "content": "hello"}]


def dates() -> ConversationDates:
    days = (FIRST + number * DAY for number in itertools.count())
    return ConversationDates(lambda: next(days))


def served(known: ConversationDates, messages: list[dict[str, Any]]) -> datetime.datetime:
    began = known.of(messages)
    known.keep(messages, began)
    return began


def test_a_later_turn_has_the_date_of_the_first() -> None:
    known = dates()
    later = [*HELLO, {"role": "assistant", "content": "hi"}, {"role": "user", "content": "?"}]
    assert served(known, HELLO) == known.of(later) == FIRST


def test_another_conversation_has_its_own_date() -> None:
    known = dates()
    served(known, HELLO)
    assert known.of([{"role": "user", "content": "other"}]) == FIRST + DAY


def test_a_conversation_that_was_only_asked_about_is_not_remembered() -> None:
    known = dates()
    known.of(HELLO)
    assert len(known) == 0
    assert known.of(HELLO) == FIRST + DAY


def test_forgotten_conversations_begin_anew() -> None:
    known = dates()
    served(known, HELLO)
    known.forget()
    assert len(known) == 0
    assert known.of(HELLO) == FIRST + DAY


def test_the_longest_unused_conversation_is_forgotten_first() -> None:
    known = dates()
    served(known, HELLO)
    for number in range(255):
        served(known, [{"role": "user", "content": str(number)}])
        served(known, HELLO)
    served(known, [{"role": "user", "content": "one more"}])
    assert known.of(HELLO) == FIRST
    assert known.of([{"role": "user", "content": "0"}]) != FIRST + DAY
