"""Owns the date that a conversation's template sees: it stays what it was when it began.

A template that writes the date into the system turn would otherwise end every cached prefix at
midnight, in the middle of a conversation.
"""

from __future__ import annotations

import datetime
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

_MOST_CONVERSATIONS = 256


class ConversationDates:
    """Remembers when conversations began, told apart by their first two messages.

    Args:
        clock: returns the present date.
    """

    def __init__(self, clock: Callable[[], datetime.datetime] = datetime.datetime.now) -> None:
        self._clock = clock
        self._began: OrderedDict[str, datetime.datetime] = OrderedDict()

    def of(self, messages: list[dict[str, Any]]) -> datetime.datetime:
        """Return the date on which the conversation with these messages began."""
        key = repr([(message.get("role"), message.get("content")) for message in messages[:2]])
        began = self._began.pop(key, None) or self._clock()
        self._began[key] = began
        if len(self._began) > _MOST_CONVERSATIONS:
            self._began.popitem(last=False)
        return began
