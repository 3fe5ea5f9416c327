"""What is kept comes back as it was, and damage shows."""

from __future__ import annotations

import zlib

import pytest

from app.answer_store.records import ROW_BYTES, Packed, StoredAnswer, pack, unpack

STORED = StoredAnswer(id="a", answer=b'{"x": 1}' * 50, request=b"[]", events=b"")


def test_texts_come_back_as_they_were() -> None:
    packed = pack(STORED)
    assert [unpack(each) for each in (packed.answer, packed.request, packed.events)] == [
        STORED.answer,
        b"[]",
        b"",
    ]
    assert packed.n_bytes < ROW_BYTES + len(STORED.answer)


@pytest.mark.parametrize(
    "other",
    [
        (Packed(b"x", b"request", b""), ("owner", "id", None)),
        (Packed(b"answe", b"rrequest", b""), ("owner", "id", None)),
        (Packed(b"answer", b"request", b""), ("other", "id", None)),
        (Packed(b"answer", b"request", b""), ("owner", "id", "previous")),
        (Packed(b"answer", b"request", b""), ("owneri", "d", None)),
    ],
)
def test_whatever_differs_has_another_checksum(
    other: tuple[Packed, tuple[str | None, ...]],
) -> None:
    packed, names = other
    assert packed.checksum(*names) != Packed(b"answer", b"request", b"").checksum(
        "owner", "id", None
    )


def test_damage_to_a_stream_shows_when_it_is_unpacked() -> None:
    packed = pack(StoredAnswer(id="a", answer=b"", request=b"", events=b"event" * 50)).events
    for place in range(len(packed)):
        damaged = bytearray(packed)
        damaged[place] ^= 1
        with pytest.raises(zlib.error):
            unpack(bytes(damaged))
