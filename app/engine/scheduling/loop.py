"""Owns the hot loop: receive, admit, decode, sample, emit. It waits only when it has nothing to do.

`step` is the whole of it; everything per token that C can do is done in C.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from app.engine.ipc.channel import Channel
from app.engine.ipc.outbox import Outbox
from app.engine.kv.save_policy import SavePolicy
from app.engine.scheduling.admission import Admission
from app.engine.scheduling.batch_runner import BatchRunner
from app.engine.scheduling.command_handler import CommandHandler
from app.engine.scheduling.completion import RequestCompletion
from app.engine.scheduling.interrupt import Interrupt
from app.engine.scheduling.scheduler import Scheduler
from app.engine.scheduling.stats import StatsReporter
from app.protocol import Cancel, Command, EndReasoning, Shutdown

_IDLE_GRACE_S = 0.03
_SAVING_POLL_S = 0.02


class EngineLoop:
    """Runs requests on one context until the HTTP process says stop or goes away.

    Args:
        channel: where commands come from.
        interrupt: has those that arrived within steps.
        outbox: where events go.
        command_handler: acts on commands.
        scheduler: has the requests.
        admission: starts them.
        batches: decodes them.
        completion: ends them.
        save_policy: saves prompts in quiet moments.
        stats: reports figures.
    """

    def __init__(
        self,
        channel: Channel,
        interrupt: Interrupt,
        outbox: Outbox,
        command_handler: CommandHandler,
        scheduler: Scheduler,
        admission: Admission,
        batches: BatchRunner,
        completion: RequestCompletion,
        save_policy: SavePolicy,
        stats: StatsReporter,
    ) -> None:
        self._channel = channel
        self._interrupt = interrupt
        self._outbox = outbox
        self._command_handler = command_handler
        self._scheduler = scheduler
        self._admission = admission
        self._batches = batches
        self._completion = completion
        self._save_policy = save_policy
        self._stats = stats
        self._decoded_s = 0.0

    def request_ids(self) -> list[str]:
        """Return the ids of the running requests."""
        return list(dict.fromkeys(request.request_id for request in self._scheduler.running))

    def run(self, commands: list[Command]) -> None:
        """Work until `Shutdown`.

        Args:
            commands: what arrived together with `Load`.

        Raises:
            ChannelClosed: the HTTP process is gone.
            DecodeFailed: llama.cpp reported a fatal error.
        """
        scheduler = self._scheduler
        while True:
            if commands:
                self._send(now=True)
            if self._handle(commands):
                self._save_policy.save_all()
                self._completion.finish_saved()
                return
            self.step()
            self._save_policy.submit_due()
            if scheduler.is_idle and time.monotonic() - self._decoded_s >= _IDLE_GRACE_S:
                self._save_policy.save_next()  # however many commands come that need no step
            self._completion.finish_saved()
            self._stats.report(is_due=scheduler.is_idle)
            self._send(now=bool(commands) or scheduler.is_idle)
            commands = self._interrupt.take()
            is_quiet = scheduler.is_idle and not commands
            commands += self._wait() if is_quiet else self._channel.poll()

    def step(self) -> None:
        """Plan a batch, decode it and take in its results."""
        began_s = time.monotonic()
        self._completion.end_overdue(began_s)
        self._admission.admit()
        work = self._batches.plan()
        if any(item.is_prefill for item in work):  # such steps are long
            self._send(now=True)
        work = self._batches.decode(work)
        self._batches.take_in(work, began_s)
        if work:
            self._decoded_s = time.monotonic()

    def _handle(self, commands: Sequence[Command]) -> bool:
        """Act on commands; return whether the engine is to shut down."""
        for command in commands:
            if isinstance(command, Cancel):
                for request in self._scheduler.find(command.request_id):
                    self._completion.retire(request)
            elif isinstance(command, EndReasoning):
                for request in self._scheduler.find(command.request_id):
                    self._batches.end_thoughts(request)
            else:
                self._command_handler.handle(command)
        return any(isinstance(command, Shutdown) for command in commands)

    def _send(self, *, now: bool) -> None:
        """Send the events and the chosen tokens if that is due, or `now`."""
        if now or self._outbox.is_due:
            for request in self._scheduler.running:
                self._completion.post_chosen(request)
            self._outbox.flush()

    def _wait(self) -> list[Command]:
        """Wait for commands; save prompts for later where none come for a moment."""
        while True:
            commands = self._channel.wait(_IDLE_GRACE_S)
            has_saved = not commands and self._save_policy.save_next()
            if not commands and not has_saved:
                is_saving = self._completion.is_saving
                commands = self._channel.wait(
                    _SAVING_POLL_S if is_saving else self._save_policy.next_work_s()
                )
            if commands:
                return commands
            self._save_policy.submit_due()
            self._completion.finish_saved()
            self._stats.report(is_due=has_saved)
            self._send(now=True)
