"""Owns the engine's end of the socket to the HTTP process; must not know what messages mean."""

from __future__ import annotations

import select
import socket

from app.protocol import Command, Event, command_reader, encode

_READ_BYTES = 256 * 1024


class ChannelClosed(Exception):
    """The HTTP process is gone; the engine has nobody to work for."""


class Channel:
    """Commands in, events out; events of one step leave in one write.

    Args:
        sock: a connected stream socket, in blocking mode.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._reader = command_reader()
        self._outbox = bytearray()

    def poll(self) -> list[Command]:
        """Return the commands that have arrived, without waiting.

        Raises:
            ChannelClosed: the other end is gone.
        """
        try:
            data = self._sock.recv(_READ_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return []
        except OSError as error:
            raise ChannelClosed from error
        if not data:
            raise ChannelClosed
        return list(self._reader.feed(data))

    def wait(self, timeout_s: float | None = None) -> list[Command]:
        """Return the commands that have arrived; waits for the first one.

        Args:
            timeout_s: return without any after so long; None waits on.
        """
        commands: list[Command] = []
        while not commands:
            readable, _, _ = select.select([self._sock], [], [], timeout_s)
            if not readable:
                break
            commands = self.poll()
        return commands

    def post(self, event: Event) -> None:
        """Put an event in the outbox."""
        self._outbox += encode(event)

    def flush(self) -> None:
        """Send the outbox.

        Raises:
            ChannelClosed: the other end is gone.
        """
        if not self._outbox:
            return
        try:
            self._sock.sendall(self._outbox)
        except OSError as error:
            raise ChannelClosed from error
        self._outbox.clear()
