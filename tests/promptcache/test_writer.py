"""The writing thread: in order, nothing twice, gently, and never ended by an error."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from app.promptcache import DiskWriter, WriteJob
from app.promptcache.entry_header import Role
from app.promptcache.snapshot import Snapshot
from app.promptcache.writer import MAX_PAUSE_S
from tests.promptcache.stores import Bench, Notices, is_kept, put, snapshot_of, whole, words

FIRST = words(0)
LONGER = list(range(150))


@dataclass
class HeldStore:
    """Takes entries one at a time, when it is let."""

    written: list[list[int]] = field(default_factory=list)
    error: Exception | None = None
    began: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    may_go_on: threading.Event = field(default_factory=threading.Event)

    def write_snapshot(
        self,
        tokens: list[int],
        snapshot: Snapshot,
        *,
        extra: bytes,
        role: Role,
        profile: str,
        form: str,
        drops_older: bool,
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
        self, tokens: list[int], *, role: Role = "turn", profile: str = "", n_bytes: int = 10
    ) -> bool:
        return self.writer.submit(
            WriteJob(
                tokens=tokens,
                snapshot=whole(tokens, bytes(n_bytes)),
                role=role,
                profile=profile,
                drops_older=True,
            )
        )

    def hold(self, tokens: list[int] = FIRST) -> None:
        """Have the thread busy with an entry, so that what is submitted waits."""
        assert self.submit(tokens)
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
        each.submit(words(1, 100))
        assert each.finish() == [words(1, 20), words(1, 30), words(2), words(1, 100)]


def job(
    tokens: list[int],
    start: int,
    *,
    state: bytes | None = None,
    drops_older: bool = False,
    window_start: int | None = None,
) -> WriteJob:
    snapshot = snapshot_of(tokens, start, state=state, window_start=window_start)
    return WriteJob(tokens=tokens, snapshot=snapshot, drops_older=drops_older)


LONGER = [*FIRST, *words(1, 40)]


@pytest.mark.parametrize(
    ("older", "newer", "is_dropped"),
    [
        (job(FIRST, 0), job(LONGER, 0), True),
        (job(FIRST, 32), job(LONGER, 0), True),
        (job(FIRST, 32), job(LONGER, 32), True),
        (job(FIRST, 0), job(LONGER, 32), False),
        (job(FIRST, 64), job(LONGER, 64), True),
        (job(FIRST, 0, state=b"s"), job(LONGER, 0, state=b"t"), False),
        (job(FIRST, 0, state=b"s"), job(LONGER, 0, state=b"t", drops_older=True), True),
        (job(FIRST, 0, state=b"s"), job(LONGER, 32, state=b"t", drops_older=True), False),
        (job(FIRST, 64, state=b"s"), job(LONGER, 64, state=b"t", drops_older=True), True),
        (job(FIRST, 0), job(FIRST, 0, state=b"s"), True),
        (job(FIRST, 32), job(FIRST, 0), True),
        (job(FIRST, 0), job([1, *LONGER], 0), False),
    ],
)
def test_a_turn_gives_way_only_to_one_that_brings_all_of_its_rows(
    older: WriteJob, newer: WriteJob, is_dropped: bool
) -> None:
    with desk() as each:
        each.hold(words(9))
        assert each.writer.submit(older)
        assert each.writer.submit(newer)
        assert each.writer.pending == (2 if is_dropped else 3)
        expected = [newer.tokens] if is_dropped else [older.tokens, newer.tokens]
        assert each.finish() == expected


def test_what_brings_less_than_one_that_waits_for_the_same_tokens_is_not_needed() -> None:
    with desk() as each:
        each.hold(words(9))
        assert each.writer.submit(job(LONGER, 0, state=b"s", window_start=50))
        for same in (job(LONGER, 32), job(LONGER, 0, window_start=60), job(LONGER, 104)):
            assert each.writer.submit(same)
        assert each.writer.pending == 2
        assert each.writer.submit(job(LONGER, 0, window_start=40))
        assert each.finish() == [LONGER, LONGER]


def test_a_job_is_named_without_its_bytes() -> None:
    full = job(LONGER, 32, state=b"state", window_start=60)
    assert full.n_bytes == 72 * 40 + 44 * 24 + 5
    bare = full.without_bytes()
    assert bare.n_bytes == 0
    assert bare.is_same(full)


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
        job = WriteJob(tokens=words(1), snapshot=whole(words(1), b""))
        each.writer.submit(job)
        assert not each.writer.wait(job, timeout_s=0)
        assert not each.writer.wait(timeout_s=0)
        each.store.may_go_on.set()
        assert each.writer.wait(job, timeout_s=10)
        assert each.writer.wait(timeout_s=10)
        assert each.writer.wait(
            WriteJob(tokens=words(9), snapshot=whole(words(9), b"")), timeout_s=0
        )


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
        writer.submit(WriteJob(tokens=FIRST, snapshot=whole(FIRST, bytes(3_000_000))))
        assert writer.wait(timeout_s=10)
        assert bool(pauses) is is_busy
        assert all(0 <= pause <= MAX_PAUSE_S for pause in pauses)
        pauses.clear()
        writer.unthrottle()
        writer.submit(WriteJob(tokens=words(1), snapshot=whole(words(1), bytes(3_000_000))))
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
    longer = [*FIRST, 1]
    state = whole(longer, b"s")
    writer.submit(WriteJob(tokens=longer, snapshot=state, extra=b"e", drops_older=True))
    writer.submit(WriteJob(tokens=words(1), snapshot=whole(words(1), b"s"), profile="p"))
    writer.submit(
        WriteJob(tokens=words(1), snapshot=whole(words(1), b"s"), form="f", role="boundary")
    )
    assert writer.close(10) == 0
    assert store.extras(9) == [(longer, b"e")]
    listed = sorted((each.form, each.role, each.n_tokens) for each in store.list_entries())
    assert listed == [
        ("", "boundary", 64),
        ("", "turn", 65),
        ("f", "boundary", 64),
        ("pin", "profile", 64),
    ]


def snapshot_job(
    tokens: list[int], start: int = 0, *, role: Role = "turn", **parts: int | bytes | None
) -> WriteJob:
    return WriteJob(
        tokens=tokens,
        snapshot=snapshot_of(tokens, start, **parts),  # type: ignore[arg-type]
        role=role,
    )


@pytest.mark.parametrize(
    ("job", "is_brought"),
    [
        (snapshot_job(LONGER[:100]), True),
        (snapshot_job(LONGER[:100], 64), True),
        (snapshot_job(LONGER[:100], state=b"s"), False),
        (snapshot_job(LONGER[:100], window_start=70), False),
        (snapshot_job(LONGER[:100], role="boundary"), False),
        (snapshot_job([*LONGER[:99], 7]), False),
        (snapshot_job(LONGER[:32]), False),
    ],
)
def test_rows_that_a_waiting_job_brings_are_not_written_twice(
    job: WriteJob, is_brought: bool
) -> None:
    start = 64 if len(job.tokens) == 32 else 0
    with desk() as held:
        held.hold()
        held.writer.submit(snapshot_job(LONGER, start, state=b"s"))
        assert held.writer.submit(job)
        assert held.writer.pending == (2 if is_brought else 3)
