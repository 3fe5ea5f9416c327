"""Messages arrive whole and in order, however the stream cuts them; other bytes are an error."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import InvalidRequest
from app.protocol import (
    MAX_FRAME_BYTES,
    Cancel,
    Command,
    FrameError,
    Generate,
    SamplingParams,
    Shutdown,
    TextDelta,
    Tokenize,
    command_reader,
    encode,
    event_reader,
)

COMMANDS: list[Command] = [
    Cancel(request_id="a"),
    Tokenize(request_id="b", text="Grüße"),
    Shutdown(),
]
STREAM = b"".join(map(encode, COMMANDS))
HEADER_BYTES = 4


def frame(body: bytes) -> bytes:
    return len(body).to_bytes(HEADER_BYTES, "little") + body


def test_a_frame_begins_with_the_length_of_its_body() -> None:
    data = encode(Shutdown())
    assert int.from_bytes(data[:HEADER_BYTES], "little") == len(data) - HEADER_BYTES


@given(cuts=st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_messages_are_the_same_wherever_the_stream_is_cut(cuts: list[int]) -> None:
    reader = command_reader()
    places = [0, *sorted(cuts), len(STREAM)]
    pieces = [STREAM[start:end] for start, end in itertools.pairwise(places)]
    assert [message for piece in pieces for message in reader.feed(piece)] == COMMANDS


def test_an_incomplete_frame_yields_nothing_yet() -> None:
    reader = event_reader()
    delta = TextDelta(request_id="a", text="Hi")
    data = encode(delta)
    assert list(reader.feed(data[:-1])) == []
    assert list(reader.feed(data[-1:])) == [delta]


def test_an_event_is_no_command() -> None:
    with pytest.raises(FrameError):
        list(command_reader().feed(encode(TextDelta(request_id="a", text="Hi"))))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"\x80",
        b"\x81\xa4type\xa7Unknown",
        b"\x91" * 5000,
        b"\x81\xa4type\xa3\xff\xff\xff",
    ],
)
def test_a_body_that_is_no_message_is_an_error(body: bytes) -> None:
    with pytest.raises(FrameError):
        list(command_reader().feed(frame(body)))


def test_a_frame_that_is_too_long_is_refused_by_its_length() -> None:
    with pytest.raises(FrameError, match=str(MAX_FRAME_BYTES)):
        list(command_reader().feed((MAX_FRAME_BYTES + 1).to_bytes(HEADER_BYTES, "little")))


def test_a_number_over_64_bits_is_the_clients_mistake() -> None:
    command = Generate(request_id="a", sampling=SamplingParams(), template_kwargs={"x": 2**64})
    with pytest.raises(InvalidRequest) as refused:
        encode(command)
    assert refused.value.param == "body"
