"""Owns the framing: one msgpack-encoded struct after its length."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from app.errors import InvalidRequest
from app.protocol.commands import Command
from app.protocol.events import Event

MAX_FRAME_BYTES = 64 * 1024 * 1024
_LENGTH_BYTES = 4

_encoder = msgspec.msgpack.Encoder()


class FrameError(ValueError):
    """The peer sent an invalid frame."""


def encode(message: Command | Event) -> bytes:
    """Return the frame of one message.

    Raises:
        InvalidRequest: it contains an integer of more than 64 bits.
    """
    try:
        body = _encoder.encode(message)
    except OverflowError:
        raise InvalidRequest(
            "A whole number in the request does not fit into 64 bits", param="body"
        ) from None
    return len(body).to_bytes(_LENGTH_BYTES, "little") + body


class FrameReader:
    """Splits a byte stream into messages; buffers an incomplete frame.

    Args:
        message_type: the union of structs that may arrive.
    """

    def __init__(self, message_type: Any) -> None:
        self._buffer = bytearray()
        self._decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(message_type)

    def feed(self, data: bytes) -> Iterator[Any]:
        """Yield each message that `data` completes.

        Raises:
            FrameError: a length above `MAX_FRAME_BYTES`, or a body that is no known message.
        """
        self._buffer += data
        while len(self._buffer) >= _LENGTH_BYTES:
            length = int.from_bytes(self._buffer[:_LENGTH_BYTES], "little")
            if length > MAX_FRAME_BYTES:
                raise FrameError(f"frame of {length} bytes is over {MAX_FRAME_BYTES}")
            end = _LENGTH_BYTES + length
            if len(self._buffer) < end:
                return
            body = bytes(memoryview(self._buffer)[_LENGTH_BYTES:end])
            del self._buffer[:end]
            try:
                yield self._decoder.decode(body)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise FrameError(f"frame is no known message: {error}") from error


def event_reader() -> FrameReader:
    """Return a reader of events."""
    return FrameReader(Event)


def command_reader() -> FrameReader:
    """Return a reader of commands."""
    return FrameReader(Command)
