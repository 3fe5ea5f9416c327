"""Owns aborting a step in the middle, when a cancel makes it pointless."""

from __future__ import annotations

import time
from collections.abc import Collection

from app.engine.ipc.channel import Channel
from app.protocol import Cancel, Command, Shutdown


class Interrupt:
    """Looks for cancels while llama.cpp computes; all commands are kept for later.

    No two steps in a row are aborted, so that a client that keeps cancelling cannot stall the
    prompts of others.

    Args:
        channel: where commands come from.
        poll_every_s: seconds between two looks.
    """

    def __init__(self, channel: Channel, poll_every_s: float = 0.02) -> None:
        self._channel = channel
        self._poll_every_s = poll_every_s
        self._polled_s = 0.0
        self._commands: list[Command] = []
        self._error: Exception | None = None
        self._wanted: Collection[str] = ()
        self._has_aborted = False

    def watch(self, request_ids: Collection[str]) -> None:
        """Begin a step; it is aborted when one of these requests is cancelled."""
        self._wanted = () if self._has_aborted else request_ids
        self._has_aborted = False

    def should_abort(self) -> bool:
        """Whether to abort the step; called by llama.cpp, so it must not raise."""
        now_s = time.monotonic()
        if now_s - self._polled_s < self._poll_every_s:
            return False
        self._polled_s = now_s
        try:
            self._commands += self._channel.poll()
        except Exception as error:
            self._error = error
            return True
        self._has_aborted = any(map(self._ends_step, self._commands))
        return self._has_aborted

    def _ends_step(self, command: Command) -> bool:
        match command:
            case Shutdown():
                return True
            case Cancel(request_id=request_id):
                return request_id in self._wanted
            case _:
                return False

    def take(self) -> list[Command]:
        """Return what has arrived during steps.

        Raises:
            ChannelClosed: the HTTP process is gone.
            FrameError: it sent what is no command.
        """
        if self._error is not None:
            raise self._error
        commands, self._commands = self._commands, []
        return commands
