"""A buffer holds the latest bytes of an answer for readers at any place."""

from __future__ import annotations

import asyncio

import pytest

from app.api.streaming.buffer import OffsetGone, StreamBuffer
from app.errors import EngineUnavailable, InvalidRequest


async def read(buffer: StreamBuffer, offset: int = 0) -> bytes:
    return b"".join([data async for data in buffer.read(offset)])


async def test_each_reader_gets_all_from_its_offset_on() -> None:
    buffer = StreamBuffer()
    await buffer.write(b"abc")
    readers = [asyncio.create_task(read(buffer, offset)) for offset in (0, 2, 3)]
    await asyncio.sleep(0)
    await buffer.write(b"de")
    await buffer.end()
    assert await asyncio.gather(*readers) == [b"abcde", b"cde", b"de"]
    assert await read(buffer, 5) == b""


async def test_the_first_bytes_are_dropped_when_there_is_no_room_and_offsets_stay() -> None:
    buffer = StreamBuffer(max_bytes=4)
    await buffer.write(b"abc")
    await buffer.write(b"def")
    await buffer.end()
    assert (buffer.start, buffer.end_offset) == (2, 6)
    assert await read(buffer, 2) == b"cdef"
    with pytest.raises(OffsetGone) as refused:
        buffer.check(1)
    assert (refused.value.param, refused.value.code) == ("from", "stream_offset_gone")


async def test_an_offset_that_is_not_reached_yet_is_refused() -> None:
    buffer = StreamBuffer()
    await buffer.write(b"abc")
    with pytest.raises(InvalidRequest):
        buffer.check(4)


async def test_a_reader_that_is_left_behind_is_told() -> None:
    buffer = StreamBuffer(max_bytes=2)
    await buffer.write(b"ab")
    reader = buffer.read(0)
    assert await anext(reader) == b"ab"
    await buffer.write(b"cdef")
    with pytest.raises(OffsetGone):
        await anext(reader)


async def test_an_error_before_the_first_byte_reaches_the_readers() -> None:
    buffer = StreamBuffer()
    reader = asyncio.create_task(read(buffer))
    await asyncio.sleep(0)
    buffer.stop(EngineUnavailable("loading"))
    with pytest.raises(EngineUnavailable):
        await reader


async def test_an_answer_that_has_begun_just_ends() -> None:
    buffer = StreamBuffer()
    await buffer.write(b"ab")
    buffer.stop(EngineUnavailable("lost"))
    assert await read(buffer) == b"ab"
