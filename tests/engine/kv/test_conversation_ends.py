"""A conversation waits once: where it goes on, it is forgotten where it was."""

from __future__ import annotations

from app.engine.kv.conversation_ends import ConversationEnds


def lengths(ends: ConversationEnds) -> list[int]:
    return [len(end.tokens) for end in ends]


def test_a_longer_conversation_takes_the_place_of_what_it_was() -> None:
    ends = ConversationEnds()
    ends.add([1, 2])
    ends.add([1, 3])
    ends.add([1, 2, 3])
    assert lengths(ends) == [2, 3]
    ends.add([1, 2])
    assert lengths(ends) == [2, 3], "it is a beginning of what waits"


def test_no_more_than_a_few_hundred_wait() -> None:
    ends = ConversationEnds()
    for number in range(1000):
        ends.add([number])
    assert len(ends) == 256
    ends.clear()
    assert len(ends) == 0


def test_whether_a_conversation_goes_on_is_known() -> None:
    ends = ConversationEnds()
    ends.add([1, 2, 3])
    assert ends.go_on_from([1, 2])
    assert not ends.go_on_from([1, 2, 3]), "it ends there"
    assert not ends.go_on_from([1, 3])
    assert not ends.go_on_from([1, 2, 3, 4])
