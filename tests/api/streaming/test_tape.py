"""A tape holds the latest bytes of an answer for readers at any place."""

from __future__ import annotations

import asyncio

import pytest

from app.api.streaming.tape import OffsetGone, Tape
from app.errors import EngineUnavailable, InvalidRequest


async def read(tape: Tape, offset: int = 0) -> bytes:
    return b"".join([data async for data in tape.read(offset)])


async def test_each_reader_gets_all_from_its_offset_on() -> None:
    tape = Tape()
    await tape.write(b"abc")
    readers = [asyncio.create_task(read(tape, offset)) for offset in (0, 2, 3)]
    await asyncio.sleep(0)
    await tape.write(b"de")
    await tape.end()
    assert await asyncio.gather(*readers) == [b"abcde", b"cde", b"de"]
    assert await read(tape, 5) == b""


async def test_the_first_bytes_go_when_there_is_no_room_and_offsets_stay() -> None:
    tape = Tape(max_bytes=4)
    await tape.write(b"abc")
    await tape.write(b"def")
    await tape.end()
    assert (tape.start, tape.end_offset) == (2, 6)
    assert await read(tape, 2) == b"cdef"
    with pytest.raises(OffsetGone) as refused:
        tape.check(1)
    assert (refused.value.param, refused.value.code) == ("from", "stream_offset_gone")


async def test_an_offset_that_is_not_reached_yet_is_refused() -> None:
    tape = Tape()
    await tape.write(b"abc")
    with pytest.raises(InvalidRequest):
        tape.check(4)


async def test_a_reader_that_is_left_behind_is_told() -> None:
    tape = Tape(max_bytes=2)
    await tape.write(b"ab")
    reader = tape.read(0)
    assert await anext(reader) == b"ab"
    await tape.write(b"cdef")
    with pytest.raises(OffsetGone):
        await anext(reader)


async def test_an_error_before_the_first_byte_reaches_the_readers() -> None:
    tape = Tape()
    reader = asyncio.create_task(read(tape))
    await asyncio.sleep(0)
    tape.stop(EngineUnavailable("loading"))
    with pytest.raises(EngineUnavailable):
        await reader


async def test_an_answer_that_has_begun_just_ends() -> None:
    tape = Tape()
    await tape.write(b"ab")
    tape.stop(EngineUnavailable("lost"))
    assert await read(tape) == b"ab"
