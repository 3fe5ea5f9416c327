"""What a plan needs from the disk is read on a thread, and waited for where it is asked for."""

from __future__ import annotations

import threading

import pytest

from app.engine.kv.disk_tier import DiskCacheTier
from app.engine.kv.memory_store import MemoryStore
from app.engine.kv.restoring.lookup import LookUp, Plan
from app.engine.kv.restoring.read_ahead import Reading, ReadingTurns
from app.promptcache import BlockContent, EntryContent, PrefixMatch
from tests.engine.fake_disk import FakeStore, fake_disk
from tests.engine.fake_llama import shape_of, state_after
from tests.engine.kv.snapshots import snapshot_of

A = [number % 200 for number in range(100)]


class GatedTier(DiskCacheTier):
    """A disk that reads nothing before its gate is opened, and counts what it reads."""

    error: type[Exception] | None = None

    def __init__(self, store: FakeStore, tier: DiskCacheTier) -> None:
        super().__init__(tier._disk, tier._shape)
        self.gate = threading.Event()
        self.n_read = 0

    def _pass(self) -> None:
        assert self.gate.wait(60)
        self.n_read += 1
        if self.error is not None and threading.current_thread() is not threading.main_thread():
            raise self.error

    def read_block(self, block_id: str, *, with_window: bool = True) -> BlockContent | None:
        self._pass()
        return super().read_block(block_id, with_window=with_window)

    def read_state(self, found: PrefixMatch) -> EntryContent | None:
        self._pass()
        return super().read_state(found)


class Setting:
    """A conversation on a disk, in two blocks and a state."""

    def __init__(self) -> None:
        shape = shape_of(can_cut=False)
        disk, self.store = fake_disk()
        self.tier = GatedTier(self.store, DiskCacheTier(disk, shape))
        self.store.put(A[:64], snapshot_of(A[:64]))
        self.store.put(A, snapshot_of(A, 64, with_state=True))
        self.plan = LookUp(shape, MemoryStore(0, shape), self.tier).anywhere(A)
        assert self.plan.n_tokens == len(A)

    def given(self, reading: Reading) -> list[bytes]:
        """Return all that a reading gives of the plan."""
        assert isinstance(self.plan.state, PrefixMatch)
        blocks = [reading.block(link.block_id, with_window=True) for link in self.plan.links]
        state = reading.state(self.plan.state)
        return [bytes(each.rows) for each in blocks if each] + (
            [bytes(state.state)] if state else []
        )


def begun(setting: Setting, plan: Plan | None = None) -> Reading:
    reading = Reading(setting.tier, plan or setting.plan)
    reading.poll()
    return reading


ALL = [bytes(A[:64]), bytes(A[64:]), state_after(A)]


def test_what_is_read_ahead_is_not_read_again() -> None:
    setting = Setting()
    reading = begun(setting)
    setting.tier.gate.set()
    while not reading.poll():
        pass
    setting.store.clear()
    assert setting.given(reading) == ALL
    assert setting.tier.n_read == len(ALL)
    assert reading.poll()


def test_what_is_asked_for_before_it_is_read_is_waited_for() -> None:
    setting = Setting()
    reading = begun(setting)
    opener = threading.Timer(0.05, setting.tier.gate.set)
    opener.start()
    assert setting.given(reading) == ALL
    opener.join()


def test_without_a_plan_all_is_read_when_it_is_asked_for() -> None:
    setting = Setting()
    reading = Reading(setting.tier)
    assert reading.poll()
    setting.tier.gate.set()
    assert setting.given(reading) == ALL


def test_a_plan_of_memory_reads_nothing() -> None:
    setting = Setting()
    setting.tier.gate.set()
    reading = begun(setting, Plan(5))
    assert reading.block("none", with_window=True) is None
    assert setting.tier.n_read == 1


def test_what_is_bad_is_not_there() -> None:
    setting = Setting()
    setting.store.is_broken = True
    setting.tier.gate.set()
    reading = Reading(setting.tier)
    links = setting.plan.links
    assert [link for link in links if reading.block(link.block_id, with_window=True)] == []


@pytest.mark.filterwarnings("error")
def test_what_memory_does_not_suffice_for_is_tried_once_more() -> None:
    setting = Setting()
    setting.tier.error = MemoryError
    setting.tier.gate.set()
    assert setting.given(begun(setting)) == ALL


def test_where_there_is_no_thread_all_is_read_when_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    setting = Setting()
    setting.tier.gate.set()
    monkeypatch.setattr(threading.Thread, "start", fail)
    reading = Reading(setting.tier, setting.plan)
    assert reading.poll()
    assert setting.given(reading) == ALL


def test_one_is_read_after_the_other() -> None:
    setting = Setting()
    turns = ReadingTurns()
    first, second = (Reading(setting.tier, setting.plan, turns) for _ in range(2))
    assert not first.poll()
    setting.tier.gate.set()
    while not first.poll():
        pass
    assert not second.poll()
    assert setting.tier.n_read == len(ALL), "it has not begun"
    del first
    while not second.poll():
        pass
    assert setting.tier.n_read == 2 * len(ALL)
