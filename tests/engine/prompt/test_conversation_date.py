"""A conversation keeps the date on which it began."""

from __future__ import annotations

import datetime
import itertools

from app.engine.prompt.conversation_date import ConversationDates

DAY = datetime.timedelta(days=1)
FIRST = datetime.datetime(2026, 1, 1, 23, 59)
HELLO = [{"role": "system", "content": "s"}, {"role": "user", "content": "hello"}]


def dates() -> ConversationDates:
    days = (FIRST + number * DAY for number in itertools.count())
    return ConversationDates(lambda: next(days))


def test_a_later_turn_has_the_date_of_the_first() -> None:
    known = dates()
    later = [*HELLO, {"role": "assistant", "content": "hi"}, {"role": "user", "content": "?"}]
    assert known.of(HELLO) == known.of(later) == FIRST


def test_another_conversation_has_its_own_date() -> None:
    known = dates()
    known.of(HELLO)
    assert known.of([{"role": "user", "content": "other"}]) == FIRST + DAY


def test_the_longest_unused_conversation_is_forgotten_first() -> None:
    known = dates()
    known.of(HELLO)
    for number in range(255):
        known.of([{"role": "user", "content": str(number)}])
        known.of(HELLO)
    known.of([{"role": "user", "content": "one more"}])
    assert known.of(HELLO) == FIRST
    assert known.of([{"role": "user", "content": "0"}]) != FIRST + DAY
