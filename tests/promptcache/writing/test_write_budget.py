"""The day's writes: counted for all models, over restarts, and forgotten at midnight UTC."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.promptcache.writing.write_budget import WriteBudget
from tests.promptcache.stores import Bench, Clock, put, words

DAY_S = 24 * 3600


def test_writes_of_a_day_add_up_over_processes(tmp_path: Path) -> None:
    clock = Clock()
    first, second = (WriteBudget(tmp_path, 100, clock) for _ in range(2))
    first.spend(60)
    second.spend(30)
    assert first.written_today == second.written_today == 90
    assert first.allows(10)
    assert not first.allows(11)
    clock.now_s += DAY_S
    assert first.written_today == 0
    assert first.allows(100)


def test_a_budget_of_nothing_is_no_limit(tmp_path: Path) -> None:
    write_budget = WriteBudget(tmp_path, 0, Clock())
    write_budget.spend(10**12)
    assert write_budget.allows(10**12)
    assert write_budget.written_today == 10**12


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'{"date": 5}', b'{"written_bytes": "x"}', b"\xff" * 99, b"9" * 9999],
)
def test_a_broken_file_counts_as_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "writes.json").write_bytes(content)
    write_budget = WriteBudget(tmp_path, 100, Clock())
    assert write_budget.written_today == 0
    write_budget.spend(7)
    assert WriteBudget(tmp_path, 100, Clock()).written_today == 7


def test_without_a_file_a_process_knows_what_it_wrote_itself(tmp_path: Path) -> None:
    write_budget = WriteBudget(tmp_path / "absent", 100, Clock())
    write_budget.spend(70)
    write_budget.spend(20)
    assert write_budget.written_today == 90


def test_a_store_writes_no_more_than_the_budget_of_the_day(bench: Bench) -> None:
    store = bench.open(daily_write_bytes=25_000)
    assert put(store, words(0), n_bytes=10_000)
    assert put(bench.open("other.gguf", daily_write_bytes=25_000), words(1), n_bytes=10_000)
    assert not put(store, words(2), n_bytes=10_000)
    status = store.status()
    assert 20_000 < status.written_today_bytes <= status.daily_write_bytes == 25_000
    assert status.write_error == ""
    bench.clock.now_s += DAY_S
    assert put(store, words(2), n_bytes=10_000)
