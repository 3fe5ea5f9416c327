"""Commands come in and events go out over a socket whose other end may vanish."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from app.engine.ipc.channel import Channel, ChannelClosed
from app.protocol import (
    Cancel,
    Event,
    FrameError,
    Load,
    LoadParams,
    LogLine,
    Shutdown,
    TextDelta,
    encode,
    event_reader,
)

LARGE = Load(model_path="m.gguf", params=LoadParams(n_ctx=256, chat_template="x" * 1_000_000))


@pytest.fixture
def sockets() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.fixture
def channel(sockets: tuple[socket.socket, socket.socket]) -> Channel:
    return Channel(sockets[0])


@pytest.fixture
def host(sockets: tuple[socket.socket, socket.socket]) -> socket.socket:
    return sockets[1]


def received(host: socket.socket) -> list[Event]:
    """Return the events that have arrived at the host; waits for none."""
    try:
        data = host.recv(1 << 20, socket.MSG_DONTWAIT)
    except BlockingIOError:
        return []
    return list(event_reader().feed(data))


# ---------------------------------------------------------------- commands


def test_polling_without_commands_returns_none_at_once(channel: Channel) -> None:
    assert channel.poll() == []


def test_commands_arrive_in_the_order_they_were_sent(channel: Channel, host: socket.socket) -> None:
    commands = [Cancel(request_id=str(number)) for number in range(5)]
    host.sendall(b"".join(map(encode, commands)))
    assert channel.poll() == commands
    assert channel.poll() == []


def test_waiting_returns_what_has_arrived(channel: Channel, host: socket.socket) -> None:
    host.sendall(encode(Shutdown()))
    assert channel.wait() == [Shutdown()]


def test_half_a_command_is_kept_until_the_rest_comes(channel: Channel, host: socket.socket) -> None:
    frame = encode(Cancel(request_id="a"))
    host.sendall(frame[:7])
    assert channel.poll() == []
    host.sendall(frame[7:] + encode(Shutdown()))
    assert channel.poll() == [Cancel(request_id="a"), Shutdown()]


def test_waiting_goes_on_until_a_large_command_is_whole(
    channel: Channel, host: socket.socket
) -> None:
    sender = threading.Thread(target=host.sendall, args=(encode(LARGE),))
    sender.start()
    commands = channel.wait()
    while sender.is_alive():
        channel.poll()
    sender.join()
    assert commands == [LARGE]


def test_bytes_that_are_no_command_are_an_error(channel: Channel, host: socket.socket) -> None:
    host.sendall(encode(LogLine(level="info", source="x", text="an event")))
    with pytest.raises(FrameError):
        channel.poll()


# ---------------------------------------------------------------- events


def test_events_leave_together_and_only_when_flushed(channel: Channel, host: socket.socket) -> None:
    events = [TextDelta(request_id="r", text=text) for text in "abc"]
    for event in events:
        channel.post(event)
    assert received(host) == []
    channel.flush()
    assert received(host) == events


def test_an_event_is_sent_once(channel: Channel, host: socket.socket) -> None:
    channel.post(TextDelta(request_id="r", text="a"))
    channel.flush()
    channel.flush()
    assert received(host) == [TextDelta(request_id="r", text="a")]
    assert received(host) == []


# ---------------------------------------------------------------- a host that is gone


def test_what_was_sent_before_the_end_is_still_delivered(
    channel: Channel, host: socket.socket
) -> None:
    host.sendall(encode(Shutdown()))
    host.close()
    assert channel.poll() == [Shutdown()]
    with pytest.raises(ChannelClosed):
        channel.poll()


def test_waiting_ends_when_the_host_is_gone(channel: Channel, host: socket.socket) -> None:
    host.close()
    with pytest.raises(ChannelClosed):
        channel.wait()


def test_sending_to_a_host_that_is_gone_says_so(channel: Channel, host: socket.socket) -> None:
    host.close()
    channel.flush()  # nothing to send, nothing to notice
    channel.post(TextDelta(request_id="r", text="a"))
    with pytest.raises(ChannelClosed):
        channel.flush()
