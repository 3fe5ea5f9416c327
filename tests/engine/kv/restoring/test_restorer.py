"""What is long to read is read ahead, one prompt at a time; how it is restored: test_kv_cache."""

from __future__ import annotations

import pytest

from app.engine.kv.restoring import restorer
from tests.engine.kv.test_kv_cache import Bench

A, B = [1] * 40, [2] * 40


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Return a KV cache, with both prompts on the disk alone and no file too small to wait for."""
    monkeypatch.setattr(restorer, "AHEAD_BYTES", 1)
    made = Bench()
    for tokens in (A, B):
        made.put_on_disk(tokens)
    return made


def test_what_is_on_the_disk_is_read_ahead_and_restored_from_that(bench: Bench) -> None:
    reading = bench.kv_cache.read_ahead(A, 0)
    while not reading.poll():
        pass
    lease = bench.pool.lease(A)
    assert lease is not None
    bench.on_disk.is_broken = True  # what is read by now is not read again
    hit = bench.kv_cache.restore_prefix(lease, A, reading)
    assert (hit.n_tokens, hit.tier) == (len(A), "disk")
    assert bench.cells.tokens(lease.slot.seq_id) == A


def test_one_prompt_is_read_at_a_time(bench: Bench) -> None:
    first, second = (bench.kv_cache.read_ahead(tokens, 0) for tokens in (A, B))
    while not first.poll():
        pass
    assert not second.poll()
    del first  # it is restored, or its client is gone
    while not second.poll():
        pass


@pytest.mark.parametrize(
    ("tokens", "n_live"), [([3] * 40, 0), (A, len(A)), (A, len(A) - 1), (A[:5], 5)]
)
def test_where_the_disk_has_nothing_more_there_is_nothing_to_wait_for(
    bench: Bench, tokens: list[int], n_live: int
) -> None:
    assert bench.kv_cache.read_ahead(tokens, n_live).poll()


def test_little_is_read_when_it_is_needed() -> None:
    bench = Bench()
    bench.put_on_disk(A)
    assert bench.kv_cache.read_ahead(A, 0).poll()
    assert bench.run(A).tier == "disk"
