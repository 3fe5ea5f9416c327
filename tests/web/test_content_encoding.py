"""A compressed body is unpacked within the limit on bodies, or refused with the reason."""

from __future__ import annotations

import contextlib
import gzip
import zlib
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sanic import Request
from sanic.compat import Header
from sanic.exceptions import PayloadTooLarge, SanicException

from app.errors import InvalidRequest
from app.web.content_encoding import Unpacker, coding_of

TEXT = b'{"content": "' + b"".join(b"%d " % number for number in range(2000)) + b'"}'


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


PACKED = {
    "gzip": ("gzip", gzip.compress(TEXT)),
    "two members": ("gzip", gzip.compress(TEXT[:9]) + gzip.compress(TEXT[9:])),
    "x-gzip": ("x-gzip", gzip.compress(TEXT)),
    "deflate": ("deflate", zlib.compress(TEXT)),
    "raw deflate": ("deflate", raw_deflate(TEXT)),
}


def unpack(coding: str, *pieces: bytes, max_bytes: int = 10**6) -> bytes:
    unpacker = Unpacker(coding, max_bytes)
    for piece in pieces:
        unpacker.feed(piece)
    return unpacker.finish()


def request(*fields: str) -> Request:
    class Sent:
        headers = Header([("content-encoding", field) for field in fields])

    return cast(Request, Sent())


@pytest.mark.parametrize("name", PACKED)
def test_every_coding_is_unpacked_whole_and_a_byte_at_a_time(name: str) -> None:
    coding, packed = PACKED[name]
    assert unpack(coding, packed) == TEXT
    assert unpack(coding, *(packed[at : at + 1] for at in range(len(packed)))) == TEXT


@pytest.mark.parametrize("name", PACKED)
def test_what_is_cut_off_or_followed_by_something_is_refused(name: str) -> None:
    coding, packed = PACKED[name]
    for broken in (b"", packed[:1], packed[:-1], packed[: len(packed) // 2], packed + b"x"):
        with pytest.raises(InvalidRequest) as raised:
            unpack(coding, broken)
        assert (raised.value.param, raised.value.code) == ("body", "invalid_encoding")


@given(st.sampled_from(["gzip", "deflate"]), st.binary(max_size=200))
def test_anything_is_unpacked_or_refused(coding: str, data: bytes) -> None:
    with contextlib.suppress(InvalidRequest):
        unpack(coding, data)


@pytest.mark.parametrize("name", PACKED)
def test_the_limit_is_that_of_what_comes_out(name: str) -> None:
    coding, packed = PACKED[name]
    assert unpack(coding, packed, max_bytes=len(TEXT)) == TEXT
    with pytest.raises(PayloadTooLarge):
        unpack(coding, packed, max_bytes=len(TEXT) - 1)


def test_a_bomb_is_not_unpacked() -> None:
    bomb = gzip.compress(bytes(10**8))
    with pytest.raises(PayloadTooLarge):
        unpack("gzip", bomb, max_bytes=10**6)
    with pytest.raises(InvalidRequest, match="200 times its size"):
        unpack("gzip", bomb[:4096], max_bytes=10**8)
    assert unpack("gzip", gzip.compress(bytes(10**6))) == bytes(10**6), "that much is harmless"


def test_members_without_end_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="data follows"):
        unpack("gzip", gzip.compress(b"") * 1000)


@pytest.mark.parametrize(
    ("fields", "coding"),
    [
        ([], None),
        ([""], None),
        (["identity"], None),
        (["GZIP"], "gzip"),
        (["identity, gzip"], "gzip"),
        (["x-gzip"], "x-gzip"),
        ([" deflate "], "deflate"),
    ],
)
def test_the_coding_is_the_one_that_is_named(fields: list[str], coding: str | None) -> None:
    assert coding_of(request(*fields)) == coding


@pytest.mark.parametrize("fields", [["br"], ["zstd"], ["gzip, gzip"], ["gzip", "deflate"], ["x"]])
def test_other_codings_are_refused_and_told_what_is_understood(fields: list[str]) -> None:
    with pytest.raises(SanicException) as raised:
        coding_of(request(*fields))
    headers: dict[str, Any] = dict(raised.value.headers)
    assert (raised.value.status_code, headers) == (415, {"Accept-Encoding": "gzip, deflate"})
