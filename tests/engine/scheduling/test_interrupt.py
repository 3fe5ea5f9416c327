"""A step is given up for a cancel of its own prompts, and nothing that arrives in it is lost."""

from __future__ import annotations

from typing import cast

import pytest

from app.engine.ipc.channel import Channel, ChannelClosed
from app.engine.scheduling.interrupt import Interrupt
from app.protocol import Cancel, Command, Shutdown, Tokenize

OTHER = Tokenize(request_id="t", text="x")


class Script:
    """Hands out one batch of commands a poll."""

    def __init__(self, *batches: list[Command] | Exception) -> None:
        self._batches = list(batches)

    def poll(self) -> list[Command]:
        batch = self._batches.pop(0) if self._batches else []
        if isinstance(batch, Exception):
            raise batch
        return batch


def interrupt(*batches: list[Command] | Exception, poll_every_s: float = 0.0) -> Interrupt:
    return Interrupt(cast(Channel, Script(*batches)), poll_every_s)


def test_a_cancel_of_a_prompt_of_the_step_ends_it() -> None:
    cancel = Cancel(request_id="a")
    watched = interrupt([], [OTHER], [cancel])
    watched.watch({"a", "b"})
    assert [watched.should_abort() for _ in range(3)] == [False, False, True]
    assert watched.take() == [OTHER, cancel]
    assert watched.take() == []


@pytest.mark.parametrize("command", [OTHER, Cancel(request_id="someone else")])
def test_other_commands_end_no_step_and_are_kept(command: Command) -> None:
    watched = interrupt([command])
    watched.watch({"a"})
    assert not watched.should_abort()
    assert watched.take() == [command]


def test_a_shutdown_ends_any_step() -> None:
    watched = interrupt([Shutdown()])
    watched.watch(())
    assert watched.should_abort()


def test_the_step_after_one_that_was_given_up_is_finished() -> None:
    watched = interrupt([Cancel(request_id="a")], [Cancel(request_id="b")], [], [])
    watched.watch({"a", "b"})
    assert watched.should_abort()
    watched.take()
    watched.watch({"b"})
    assert not watched.should_abort()
    watched.watch({"b"})
    assert watched.should_abort(), "the cancel is still waiting to be taken"


@pytest.mark.parametrize("error", [ChannelClosed(), ValueError("no frame")])
def test_a_broken_channel_ends_the_step_and_is_told_after_it(error: Exception) -> None:
    watched = interrupt(error)
    watched.watch({"a"})
    assert watched.should_abort()
    with pytest.raises(type(error)):
        watched.take()


def test_it_looks_only_from_time_to_time() -> None:
    watched = interrupt([OTHER], [Shutdown()], poll_every_s=3600.0)
    watched.watch({"a"})
    assert not any(watched.should_abort() for _ in range(100))
    assert watched.take() in ([OTHER], [])
