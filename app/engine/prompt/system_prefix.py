"""Owns where the instructions and tools of a prompt end; must not know how prompts are made."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence

import msgspec

from app.base.json_types import JsonObject
from app.base.prefix import common_prefix
from app.protocol import Generate, Prefill

_MOST_HEADS = 32
_HEAD_ROLES = ("system", "developer")

Shared = Callable[[Sequence[JsonObject], Generate | Prefill], list[int]]


class SystemPrefixes:
    """The heads of the prompts seen lately, so that each is rendered once.

    Args:
        shared: returns the tokens that all conversations beginning with some messages share.
    """

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._heads: OrderedDict[bytes, list[int]] = OrderedDict()

    def length(self, command: Generate | Prefill, tokens: Sequence[int], day: str) -> int:
        """Return how many leading tokens of a prompt its instructions and tools alone decide.

        Args:
            day: the date that the template sees.
        """
        messages = command.messages
        n_head = next(
            (at for at, message in enumerate(messages) if message.get("role") not in _HEAD_ROLES),
            len(messages),
        )
        if n_head == 0 and not command.tools:
            return 0
        head = messages[:n_head]
        key = _key(head, command, day)
        known = self._heads.pop(key, None)
        if known is None:
            known = self._shared(head, command)
        self._heads[key] = known
        if len(self._heads) > _MOST_HEADS:
            self._heads.popitem(last=False)
        return common_prefix(known, tokens)


def _key(head: list[JsonObject], command: Generate | Prefill, day: str) -> bytes:
    shown = msgspec.msgpack.encode((head, command.tools, command.template_kwargs, day))
    return hashlib.blake2b(shown, digest_size=16).digest()
