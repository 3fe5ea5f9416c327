"""Owns where the instructions and tools of a prompt end; must not know how prompts are made."""

from __future__ import annotations

import datetime
import hashlib
from array import array
from collections import OrderedDict
from collections.abc import Callable, Sequence

import msgspec

from app.base.json_types import JsonObject
from app.base.prefix import common_prefix
from app.engine.prompt.conversation import Conversation
from app.errors import TemplateTooSlow

_MOST_HEADS = 32
_MOST_BYTES = 1024 * 1024
_HEAD_ROLES = ("system", "developer")

Shared = Callable[[Sequence[JsonObject], Conversation, datetime.datetime], list[int]]


class SystemPrefixes:
    """The heads of the prompts seen lately, so that each is rendered once.

    Args:
        shared: returns the tokens that all conversations beginning with some messages share.
        max_bytes: what the tokens of all heads together may take, at 4 bytes each.
    """

    def __init__(self, shared: Shared, *, max_bytes: int = _MOST_BYTES) -> None:
        self._shared = shared
        self._max_bytes = max_bytes
        self._heads: OrderedDict[bytes, array[int]] = OrderedDict()
        self._n_bytes = 0

    @property
    def n_bytes(self) -> int:
        """Memory that the tokens take."""
        return self._n_bytes

    def length(
        self, conversation: Conversation, tokens: Sequence[int], began: datetime.datetime
    ) -> int:
        """Return how many leading tokens of a prompt its instructions and tools alone decide.

        0 where the template was too slow to tell, and then nothing is kept.

        Args:
            began: the date that the template sees.
        """
        messages = conversation.messages
        n_head = next(
            (at for at, message in enumerate(messages) if message.get("role") not in _HEAD_ROLES),
            len(messages),
        )
        if n_head == 0 and not conversation.tools:
            return 0
        head = messages[:n_head]
        key = _key(head, conversation, began.date().isoformat())
        known = self._heads.get(key)
        if known is None:
            try:
                known = array("i", self._shared(head, conversation, began))
            except TemplateTooSlow:
                return 0
        self._keep(key, known)
        return common_prefix(known, array("i", tokens[: len(known)]))

    def _keep(self, key: bytes, head: array[int]) -> None:
        """Keep a head as the last used one; the longest unused ones make room."""
        self._drop(key)
        n_bytes = _n_bytes(head)
        if n_bytes > self._max_bytes:
            return
        self._heads[key] = head
        self._n_bytes += n_bytes
        while len(self._heads) > _MOST_HEADS or self._n_bytes > self._max_bytes:
            self._drop(next(iter(self._heads)))

    def _drop(self, key: bytes) -> None:
        dropped = self._heads.pop(key, None)
        if dropped is not None:
            self._n_bytes -= _n_bytes(dropped)

    def forget(self) -> None:
        """Forget all heads."""
        self._heads.clear()
        self._n_bytes = 0


def _n_bytes(head: array[int]) -> int:
    return len(head) * head.itemsize


def _key(head: list[JsonObject], conversation: Conversation, day: str) -> bytes:
    shown = (head, conversation.tools, conversation.template_kwargs, day)
    return hashlib.blake2b(msgspec.msgpack.encode(shown), digest_size=16).digest()
