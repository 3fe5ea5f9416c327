"""Owns what is kept of an answer, and its form in the file; pure."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

_LEVEL = 3
# What a row takes besides its texts: its columns, its places in indexes, unused parts of pages.
ROW_BYTES = 1024
# What the id of a part takes besides itself: it stands in a table and in an index.
_ID_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAnswer:
    """One answer and the request it answers; the texts are JSON that the store does not read.

    Args:
        id: unguessable, and unique.
        previous: the id of the answer that the request went on from; None for none.
        model: the name of the model.
        answer: what the client got.
        request: what the client sent anew, without what went before.
        events: the stream by which the client got it; empty if it was not streamed.
        item_ids: ids of parts of both, by which they can be found.
        is_running: whether the answer is still to come.
    """

    id: str
    previous: str | None = None
    model: str = ""
    answer: bytes
    request: bytes
    events: bytes = b""
    item_ids: Sequence[str] = ()
    is_running: bool = False

    @property
    def n_bytes(self) -> int:
        """The size of answer and request."""
        return len(self.answer) + len(self.request)


@dataclass(frozen=True, slots=True)
class Packed:
    """The texts of an answer as they are in the file.

    Args:
        n_id_bytes: the room of the ids of its parts.
    """

    answer: bytes
    request: bytes
    events: bytes
    n_id_bytes: int = 0

    @property
    def n_bytes(self) -> int:
        """The room that they take in the file, about."""
        texts = len(self.answer) + len(self.request) + len(self.events)
        return ROW_BYTES + texts + self.n_id_bytes

    def checksum(self, *names: str | None) -> int:
        """Return the checksum of answer and request, and of what they are found by."""
        checksum = 0
        for part in (*((name or "").encode() for name in names), self.answer, self.request):
            checksum = zlib.crc32(part, zlib.crc32(b"%d " % len(part), checksum))
        return checksum


def pack(stored: StoredAnswer) -> Packed:
    """Return the texts as they are written."""
    n_id_bytes = sum(_ID_BYTES + 2 * len(item_id.encode()) for item_id in set(stored.item_ids))
    return Packed(
        _packed(stored.answer), _packed(stored.request), _packed(stored.events), n_id_bytes
    )


def unpack(text: bytes) -> bytes:
    """Return a text as it was given.

    Raises:
        zlib.error: it is damaged.
    """
    return zlib.decompress(text) if text else b""


def _packed(text: bytes) -> bytes:
    return zlib.compress(text, _LEVEL) if text else b""
