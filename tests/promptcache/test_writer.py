"""The writing thread: in order, nothing twice, gently, and never ended by an error."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from app.promptcache import DiskWriter, WriteJob
from app.promptcache.entry_header import Bytes, Role
from app.promptcache.writer import MAX_PAUSE_S
from tests.promptcache.stores import Bench, Notices, is_kept, put, words

FIRST = words(0)


@dataclass
class HeldStore:
    """Takes entries one at a time, when it is let."""

    written: list[list[int]] = field(default_factory=list)
    error: Exception | None = None
    began: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    may_go_on: threading.Event = field(default_factory=threading.Event)

    def write(
        self,
        tokens: list[int],
        state: Bytes,
        *,
        extra: bytes,
        role: Role,
        profile: str,
        form: str,
        replaces: bool,
        throttle: Callable[[], None],
    ) -> bool:
        self.began.release()
        assert self.may_go_on.wait(10)
        throttle()
        if self.error is not None:
            raise self.error
        self.written.append(tokens)
        return True


@dataclass
class Desk:
    store: HeldStore
    writer: DiskWriter
    notices: Notices

    def submit(
        self,
        tokens: list[int],
        *,
        role: Role = "turn",
        profile: str = "",
        n_bytes: int = 10,
        replaces: bool = False,
    ) -> bool:
        state = bytes(n_bytes)
        return self.writer.submit(
            WriteJob(tokens=tokens, state=state, role=role, profile=profile, replaces=replaces)
        )

    def hold(self) -> None:
        """Have the thread busy with an entry, so that what is submitted waits."""
        assert self.submit(FIRST)
        assert self.store.began.acquire(timeout=10)

    def finish(self) -> list[list[int]]:
        self.store.may_go_on.set()
        assert self.writer.wait(timeout_s=10)
        return self.store.written[1:]


@contextmanager
def desk(**limits: int) -> Iterator[Desk]:
    store, notices = HeldStore(), Notices()
    writer = DiskWriter(store, is_busy=lambda: False, notify=notices, **limits)
    try:
        yield Desk(store, writer, notices)
    finally:
        store.may_go_on.set()
        writer.close(10)


def test_entries_are_written_in_order() -> None:
    with desk() as each:
        each.hold()
        for seed in (3, 1, 2):
            assert each.submit(words(seed))
        assert each.writer.pending == 4
        assert each.finish() == [words(3), words(1), words(2)]
        assert each.writer.pending == 0


def test_a_turn_that_waits_gives_way_to_the_one_that_goes_on() -> None:
    with desk() as each:
        each.hold()
        each.submit(words(1))
        each.submit(words(1, 20), role="boundary")
        each.submit(words(1, 30), profile="pinned")
        each.submit(words(2))
        each.submit(words(1, 100), replaces=True)
        assert each.finish() == [words(1, 20), words(1, 30), words(2), words(1, 100)]


def test_a_turn_that_waits_stays_where_the_one_that_goes_on_cannot_serve_in_its_place() -> None:
    with desk() as each:
        each.hold()
        each.submit(words(1))
        each.submit(words(1, 100))
        assert each.finish() == [words(1), words(1, 100)]


def test_the_same_entry_does_not_wait_twice() -> None:
    with desk() as each:
        each.hold()
        assert each.submit(FIRST), "it is being written"
        assert each.submit(words(1))
        assert each.submit(words(1))
        assert each.submit(words(1), profile="pinned"), "that is another one"
        assert each.finish() == [words(1), words(1)]


def test_the_oldest_turns_give_way_where_too_many_wait() -> None:
    with desk(max_pending=3) as each:
        each.hold()
        each.submit(words(1), role="boundary")
        for seed in (2, 3, 4):
            assert each.submit(words(seed))
        assert each.finish() == [words(1), words(3), words(4)]


def test_no_more_memory_waits_than_allowed_unless_it_is_one_entry() -> None:
    with desk(max_pending_bytes=100) as each:
        each.hold()
        assert each.submit(words(1), n_bytes=500)
        assert each.submit(words(2), n_bytes=60)
        assert each.submit(words(3), n_bytes=60)
        assert each.submit(words(4), n_bytes=40)
        assert each.finish() == [words(3), words(4)]


def test_where_only_other_entries_wait_a_new_one_is_refused() -> None:
    with desk(max_pending=1) as each:
        each.hold()
        assert each.submit(words(1), role="boundary")
        assert not each.submit(words(2))
        assert each.finish() == [words(1)]


def test_one_entry_or_all_can_be_waited_for() -> None:
    with desk() as each:
        each.hold()
        job = WriteJob(tokens=words(1), state=b"")
        each.writer.submit(job)
        assert not each.writer.wait(job, timeout_s=0)
        assert not each.writer.wait(timeout_s=0)
        each.store.may_go_on.set()
        assert each.writer.wait(job, timeout_s=10)
        assert each.writer.wait(timeout_s=10)
        assert each.writer.wait(WriteJob(tokens=words(9), state=b""), timeout_s=0)


def test_errors_are_told_once_and_end_nothing() -> None:
    with desk() as each:
        each.store.error = ZeroDivisionError("oh")
        each.hold()
        each.submit(words(1))
        each.finish()
        each.store.error = None
        each.submit(words(2))
        assert each.writer.wait(timeout_s=10)
        assert each.store.written == [words(2)]
        assert each.notices.lines == [
            ("error", "Writing to the prompt cache failed: ZeroDivisionError('oh')")
        ]


def test_closing_writes_what_waits() -> None:
    with desk() as each:
        each.hold()
        each.submit(words(1))
        each.store.may_go_on.set()
        assert each.writer.close(10) == 0
        assert each.store.written == [FIRST, words(1)]
        assert not each.submit(words(2))


def test_closing_says_what_was_left() -> None:
    with desk() as each:
        each.hold()
        each.submit(words(1))
        assert each.writer.close(0) == 2


@pytest.mark.parametrize("is_busy", [True, False])
def test_a_writer_pauses_only_while_streams_run(bench: Bench, is_busy: bool) -> None:
    pauses: list[float] = []
    store = bench.open()
    writer = DiskWriter(store, is_busy=lambda: is_busy, notify=bench.notices)

    class Spy(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            assert timeout is not None
            pauses.append(timeout)
            return False

    writer._is_unthrottled = Spy()
    try:
        writer.submit(WriteJob(tokens=FIRST, state=bytes(3_000_000)))
        assert writer.wait(timeout_s=10)
        assert bool(pauses) is is_busy
        assert all(0 <= pause <= MAX_PAUSE_S for pause in pauses)
        pauses.clear()
        writer.unthrottle()
        writer.submit(WriteJob(tokens=words(1), state=bytes(3_000_000)))
        assert writer.wait(timeout_s=10)
        assert pauses == []
    finally:
        writer.close(10)
    assert is_kept(store, FIRST)
    assert is_kept(store, words(1))


def test_pauses_are_short_enough_for_fifty_megabytes_in_two_seconds() -> None:
    n_pieces = 2 * 48
    assert n_pieces * MAX_PAUSE_S < 1.5


def test_a_writer_passes_all_arguments_on(bench: Bench) -> None:
    store = bench.open()
    put(store, FIRST)
    writer = DiskWriter(store, is_busy=lambda: False, notify=bench.notices)
    writer.submit(WriteJob(tokens=[*FIRST, 1], state=b"s", extra=b"e", replaces=True))
    writer.submit(WriteJob(tokens=words(1), state=b"s", profile="p"))
    writer.submit(WriteJob(tokens=words(1), state=b"s", form="f", role="boundary"))
    assert writer.close(10) == 0
    assert store.extras(9) == [([*FIRST, 1], b"e")]
    listed = {(info.role, info.profile, info.n_tokens) for info in store.list_entries()}
    assert listed == {("turn", "", 65), ("profile", "p", 64), ("boundary", "", 64)}
