"""The heads of prompts are found once each, and stay within bounds."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

from app.engine.prompt.conversation import Conversation
from app.engine.prompt.system_prefix import SystemPrefixes
from app.errors import TemplateTooSlow

TODAY = datetime.datetime(2026, 1, 1)


class Letters:
    """Instructions are letters, and the head is their code points."""

    def __init__(self) -> None:
        self.n_rendered = 0
        self.is_slow = False

    def __call__(
        self,
        messages: Sequence[dict[str, Any]],
        conversation: Conversation,
        began: datetime.datetime,
    ) -> list[int]:
        self.n_rendered += 1
        if self.is_slow:
            raise TemplateTooSlow("it ran for more than 5 s")
        return [ord(letter) for message in messages for letter in message["content"]]


def length(heads: SystemPrefixes, instructions: str, began: datetime.datetime = TODAY) -> int:
    messages = [{"role": "system", "content": instructions}, {"role": "user", "content": "?"}]
    conversation = Conversation(messages, [], {}, "opened")
    return heads.length(conversation, [*map(ord, instructions), ord("?")], began)


def test_a_head_is_rendered_once_a_day() -> None:
    letters = Letters()
    heads = SystemPrefixes(letters)
    assert [length(heads, "abc"), length(heads, "abc")] == [3, 3]
    assert letters.n_rendered == 1
    length(heads, "abc", TODAY + datetime.timedelta(days=1))
    assert letters.n_rendered == 2


def test_all_heads_together_stay_within_their_bytes() -> None:
    letters = Letters()
    heads = SystemPrefixes(letters, max_bytes=40)
    for instructions in ("abcd", "efgh", "ijkl"):
        assert length(heads, instructions) == 4
    assert heads.n_bytes == 32
    assert (length(heads, "ijkl"), letters.n_rendered) == (4, 3), "the latest stay"
    assert (length(heads, "x" * 11), heads.n_bytes) == (11, 32), "too long, and pushes none out"


def test_a_head_that_a_slow_template_did_not_tell_is_asked_for_again() -> None:
    letters = Letters()
    heads = SystemPrefixes(letters)
    letters.is_slow = True
    assert (length(heads, "abc"), heads.n_bytes) == (0, 0)
    letters.is_slow = False
    assert length(heads, "abc") == 3


def test_forgotten_heads_take_no_memory() -> None:
    heads = SystemPrefixes(Letters())
    length(heads, "abc")
    heads.forget()
    assert heads.n_bytes == 0
    assert length(heads, "abc") == 3
