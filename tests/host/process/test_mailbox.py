"""A mailbox delivers everything in order, and a cancelled reader loses nothing."""

from __future__ import annotations

import asyncio

import pytest

from app.host.process.mailbox import Mailbox, Sentinel
from app.protocol import TextDelta


def delta(text: str) -> TextDelta:
    return TextDelta(request_id="r", text=text)


async def test_all_that_has_come_is_taken_at_once_and_in_order() -> None:
    mailbox = Mailbox()
    for item in (delta("a"), Sentinel.IDLE, delta("b"), Sentinel.ENGINE_EXITED):
        mailbox.put(item)
    assert await mailbox.take() == [delta("a"), Sentinel.IDLE, delta("b"), Sentinel.ENGINE_EXITED]


async def test_a_reader_waits_for_the_first_item() -> None:
    mailbox = Mailbox()
    reader = asyncio.create_task(mailbox.take())
    await asyncio.sleep(0)
    assert not reader.done()
    mailbox.put(delta("a"))
    mailbox.put(delta("b"))
    assert await reader == [delta("a"), delta("b")]


async def test_a_reader_that_gives_up_loses_nothing() -> None:
    mailbox = Mailbox()
    reader = asyncio.create_task(mailbox.take())
    await asyncio.sleep(0)
    mailbox.put(delta("a"))
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    assert await mailbox.take() == [delta("a")]
