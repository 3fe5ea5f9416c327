"""Owns the date that a conversation's template sees: it stays what it was when it began.

A template that writes the date into the system turn would otherwise end every cached prefix at
midnight, in the middle of a conversation.
"""

from __future__ import annotations

import datetime
import hashlib
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import msgspec

_MAX_CONVERSATIONS = 256  # about 250 bytes each, however long the messages are
_DIGEST_BYTES = 16


class ConversationDates:
    """Remembers when conversations began, told apart by a digest of their first two messages.

    Args:
        clock: returns the present date.
    """

    def __init__(self, clock: Callable[[], datetime.datetime] = datetime.datetime.now) -> None:
        self._clock = clock
        self._began: OrderedDict[bytes, datetime.datetime] = OrderedDict()

    def __len__(self) -> int:
        return len(self._began)

    def of(self, messages: list[dict[str, Any]]) -> datetime.datetime:
        """Return the date on which the conversation began; of an unknown one, the present."""
        return self._began.get(_key(messages)) or self._clock()

    def keep(self, messages: list[dict[str, Any]], began: datetime.datetime) -> None:
        """Remember the date of a conversation; the longest unused one makes room."""
        key = _key(messages)
        self._began[key] = began
        self._began.move_to_end(key)
        if len(self._began) > _MAX_CONVERSATIONS:
            self._began.popitem(last=False)

    def forget(self) -> None:
        """Forget all dates."""
        self._began.clear()


def _key(messages: list[dict[str, Any]]) -> bytes:
    first = [(message.get("role"), message.get("content")) for message in messages[:2]]
    return hashlib.blake2b(msgspec.msgpack.encode(first), digest_size=_DIGEST_BYTES).digest()
