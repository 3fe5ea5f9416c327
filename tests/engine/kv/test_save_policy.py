"""What waits to be saved stays within bounds, and each state is held once."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import cast

import pytest

from app.engine.kv.disk_tier import Disk, DiskCacheTier
from app.engine.kv.kv_cache import KvCache
from app.engine.kv.memory_store import MemoryStore
from app.engine.kv.save_policy import SavePolicy
from app.engine.kv.sequences import SequencePool
from app.engine.llama import BatchPart, Context
from app.engine.system.throughput import Throughput
from app.promptcache import DiskStore, DiskWriter
from tests.engine.fake_disk import FakeStore, fake_disk
from tests.engine.fake_llama import KINDS, CellCache, shape_of
from tests.engine.kv.snapshots import snapshot_of
from tests.engine.kv.test_kv_cache import Bench


def save_policy(*, max_boundary_bytes: int) -> SavePolicy:
    tier = DiskCacheTier(fake_disk()[0])
    kv_cache = KvCache(
        cast(Context, CellCache(1000, 64)),
        SequencePool(1),
        MemoryStore(0, shape_of()),
        tier,
        Throughput(target_s=1.0, n_batch=64),
        shape=shape_of(),
    )
    return SavePolicy(
        kv_cache, save_after_s=0.0, min_boundary_tokens=4, max_boundary_bytes=max_boundary_bytes
    )


def test_beginnings_that_wait_take_four_bytes_a_token_and_no_more_than_they_may() -> None:
    policy = save_policy(max_boundary_bytes=100)
    for token in range(9):
        policy.note_boundaries([token] * 30, [10])
        assert policy.boundary_bytes == min(40 * (token + 1), 80)
    policy.note_boundaries([1] * 200, [150])
    assert policy.boundary_bytes == 0, "one that is too long is not kept"


def test_a_beginning_that_waits_already_is_noted_once() -> None:
    policy = save_policy(max_boundary_bytes=1000)
    for last in range(3):
        policy.note_boundaries([*[1] * 20, last], [10])
    assert policy.boundary_bytes == 40


class BusyWriter:
    """Never gets to writing."""

    pending = 0

    def submit(self, job: object) -> bool:
        return True

    def wait(self, job: object, timeout_s: float) -> bool:
        return False


def test_whoever_waits_for_the_disk_holds_no_state_of_its_own() -> None:
    store, writer = FakeStore(dice=None), BusyWriter()
    tier = DiskCacheTier(Disk(cast(DiskStore, store), cast(DiskWriter, writer)))
    saves = [tier.save([1] * 20, snapshot_of([1] * 20), "boundary") for _ in range(3)]
    assert tier.has_pending
    for save in saves:
        assert save is not None
        assert not save.is_done
        assert save.job is not None
        assert save.job.n_bytes == 0


def test_only_the_profiles_that_are_kept_are_remembered() -> None:
    tier = DiskCacheTier(fake_disk()[0])
    for number in range(20):
        tier.save([number] * 20, None, "profile", f"profile {number}")
        tier.keep_profiles({f"profile {number}"})
    assert list(tier._profiles) == ["profile 19"]


def test_at_the_end_conversations_are_written_where_later_prompts_go_on() -> None:
    bench = Bench(n_sequences=1, can_cut=False)
    _, slot = bench.begin([1] * 40)
    bench.kv_cache.save_now(slot, to_disk=False)
    bench.cells.decode([BatchPart(slot.seq_id, 40, [2] * 9, 1)])
    slot.tokens += [2] * 9
    slot.n_kept = 40
    bench.pool.release(slot)
    SavePolicy(bench.kv_cache, save_after_s=60.0, min_boundary_tokens=4).save_all()
    assert bench.on_disk.has_state([1] * 40)


class LateClock:
    """A monotonic clock that is set."""

    def __init__(self) -> None:
        self.now_s = float(round(time.monotonic()))

    def monotonic(self) -> float:
        return self.now_s


def test_what_the_disk_does_not_take_is_offered_ever_more_rarely(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = LateClock()
    monkeypatch.setattr("app.engine.kv.save_policy.time", clock)
    monkeypatch.setattr("tests.engine.fake_disk.MIN_TOKENS", 1000)  # nothing is long enough
    bench = Bench(n_sequences=1)
    bench.run([1] * 40)
    bench.save_idle()
    policy = SavePolicy(bench.kv_cache, save_after_s=0.0)
    offered_s: list[float] = []
    for _ in range(2 * 24 * 360):
        clock.now_s += 10.0
        n_before = len(bench.on_disk.written)
        policy.submit_due()
        offered_s += [clock.now_s] * (len(bench.on_disk.written) - n_before)
    waits = [later - earlier for earlier, later in pairwise(offered_s)]
    assert 30 <= waits[0] <= 60
    assert all(later >= earlier for earlier, later in pairwise(waits))
    assert waits[-1] >= 3600
    assert len(offered_s) < 2 * 24 + 10


@pytest.mark.parametrize("kind", KINDS)
def test_a_large_conversation_is_written_as_far_as_later_prompts_contain_it(kind: str) -> None:
    bench = Bench(n_sequences=1, memory_bytes=0, **KINDS[kind])
    _, slot = bench.begin([1] * 80)
    slot.n_kept = 40
    bench.pool.release(slot)
    policy = SavePolicy(bench.kv_cache, save_after_s=0.0, min_boundary_tokens=4)
    while policy.save_next():
        pass
    policy.save_all()
    written = {len(job.tokens) for job in bench.on_disk.written}
    lasting = {80} if bench.shape.is_whole else set() if bench.shape.needs_state else {40}
    assert written == lasting
