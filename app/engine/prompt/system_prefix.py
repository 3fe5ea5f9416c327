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

_MAX_PREFIXES = 32
_MAX_BYTES = 1024 * 1024
_SYSTEM_ROLES = ("system", "developer")

Shared = Callable[[Sequence[JsonObject], Conversation, datetime.datetime], list[int]]


class SystemPrefixes:
    """The system prefixes of the latest prompts, so that each is rendered once.

    Args:
        shared: returns the tokens that all conversations beginning with some messages share.
        max_bytes: what the tokens of all prefixes together may take, at 4 bytes each.
    """

    def __init__(self, shared: Shared, *, max_bytes: int = _MAX_BYTES) -> None:
        self._shared = shared
        self._max_bytes = max_bytes
        self._prefixes: OrderedDict[bytes, array[int]] = OrderedDict()
        self._n_bytes = 0

    @property
    def n_bytes(self) -> int:
        """Memory that the tokens take."""
        return self._n_bytes

    def length(
        self, conversation: Conversation, tokens: Sequence[int], began: datetime.datetime
    ) -> int:
        """Return how many leading tokens of a prompt depend on its instructions and tools only.

        0 where the template was too slow to tell, and then nothing is kept.

        Args:
            began: the date that the template sees.
        """
        messages = conversation.messages
        n_system = next(
            (at for at, message in enumerate(messages) if message.get("role") not in _SYSTEM_ROLES),
            len(messages),
        )
        if n_system == 0 and not conversation.tools:
            return 0
        prefix = messages[:n_system]
        key = _key(prefix, conversation, began.date().isoformat())
        known = self._prefixes.get(key)
        if known is None:
            try:
                known = array("i", self._shared(prefix, conversation, began))
            except TemplateTooSlow:
                return 0
        self._keep(key, known)
        return common_prefix(known, array("i", tokens[: len(known)]))

    def _keep(self, key: bytes, prefix: array[int]) -> None:
        """Keep a prefix as the most recently used one; evict the least recently used."""
        self._drop(key)
        n_bytes = _n_bytes(prefix)
        if n_bytes > self._max_bytes:
            return
        self._prefixes[key] = prefix
        self._n_bytes += n_bytes
        while len(self._prefixes) > _MAX_PREFIXES or self._n_bytes > self._max_bytes:
            self._drop(next(iter(self._prefixes)))

    def _drop(self, key: bytes) -> None:
        dropped = self._prefixes.pop(key, None)
        if dropped is not None:
            self._n_bytes -= _n_bytes(dropped)

    def forget(self) -> None:
        """Forget all prefixes."""
        self._prefixes.clear()
        self._n_bytes = 0


def _n_bytes(prefix: array[int]) -> int:
    return len(prefix) * prefix.itemsize


def _key(prefix: list[JsonObject], conversation: Conversation, day: str) -> bytes:
    shown = (prefix, conversation.tools, conversation.template_kwargs, day)
    return hashlib.blake2b(msgspec.msgpack.encode(shown), digest_size=16).digest()
