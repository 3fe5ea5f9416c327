"""Answers come back to their owners only, and the least recently used make room."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.answer_store.database import open_database
from app.answer_store.records import ROW_BYTES, StoredAnswer
from app.answer_store.table import AnswerTable

MAX_BYTES = 1024 * 1024
DAY_S = 86400.0


@pytest.fixture
def table(tmp_path: Path) -> Iterator[AnswerTable]:
    made = AnswerTable(open_database(tmp_path / "answers.sqlite"))
    yield made
    made.close()


def stored(name: str, previous: str | None = None, text: bytes = b"{}") -> StoredAnswer:
    return StoredAnswer(id=name, previous=previous, answer=text, request=b"[]")


def put(table: AnswerTable, *answers: StoredAnswer, owner: str = "kitchen") -> None:
    for each in answers:
        assert table.put(owner, each, MAX_BYTES, 0)


def names(answers: list[StoredAnswer]) -> list[str]:
    return [each.id for each in answers]


def test_an_answer_comes_back_to_its_owner_only(table: AnswerTable) -> None:
    given = StoredAnswer(
        id="a", model="m", answer=b"answer", request=b"request", events=b"events", item_ids=["i"]
    )
    put(table, given)
    found = table.get("kitchen", "a")
    assert found is not None
    assert (found.answer, found.request) == (b"answer", b"request")
    assert table.events("kitchen", "a") == b"events"
    assert (found.model, found.previous, found.is_running) == ("m", None, False)
    for other in ("garage", ""):
        assert table.get(other, "a") is None
        assert table.events(other, "a") == b""
        assert table.with_items(other, ["i"]) == []
        assert not table.delete(other, "a")
    assert table.delete("kitchen", "a")
    assert table.get("kitchen", "a") is None
    assert not table.delete("kitchen", "a")


def test_a_chain_begins_with_its_oldest(table: AnswerTable) -> None:
    put(table, stored("a"), stored("b", "a"), stored("c", "b"), stored("fork", "a"))
    found, gone = table.chain("kitchen", "c")
    assert (names(found), gone) == (["a", "b", "c"], None)
    found, gone = table.chain("kitchen", "fork")
    assert (names(found), gone) == (["a", "fork"], None)


def test_a_chain_that_lacks_one_says_which(table: AnswerTable) -> None:
    put(table, stored("a"), stored("b", "a"), stored("c", "b"))
    table.delete("kitchen", "a")
    assert table.chain("kitchen", "c") == ([], "a")
    assert table.chain("kitchen", "unheard of") == ([], "unheard of")
    assert table.chain("garage", "c") == ([], "c")


def test_a_chain_that_refers_to_itself_ends(table: AnswerTable) -> None:
    put(table, stored("a", "b"), stored("b", "a"))
    assert sorted(names(table.chain("kitchen", "a")[0])) == ["a", "b"]


def test_an_answer_of_the_same_id_takes_the_place_of_the_old_one(table: AnswerTable) -> None:
    put(table, stored("a", text=b"old"), stored("a", text=b"new"))
    found = table.get("kitchen", "a")
    assert found is not None
    assert found.answer == b"new"
    assert table.n_bytes < 2 * ROW_BYTES


def test_the_latest_answers_that_have_a_part_are_found(table: AnswerTable) -> None:
    for name, item_ids in (("a", ["x", "y"]), ("b", ["x"]), ("c", [])):
        each = StoredAnswer(id=name, answer=b"", request=b"", item_ids=item_ids)
        put(table, each)
    assert names(table.with_items("kitchen", ["x"])) == ["b"]
    assert names(table.with_items("kitchen", ["x", "y", "z"])) == ["a", "b"]


def test_the_least_recently_used_make_room_and_a_chain_stays_whole(table: AnswerTable) -> None:
    put(table, stored("a"), stored("other"), stored("b", "a"))
    table.chain("kitchen", "b")
    room = 3 * ROW_BYTES + 3 * 32
    assert table.put("kitchen", stored("c", "b"), room, 0)
    assert table.get("kitchen", "other") is None
    assert names(table.chain("kitchen", "c")[0]) == ["a", "b", "c"]


def test_one_that_is_larger_than_all_the_room_is_not_kept(table: AnswerTable) -> None:
    put(table, stored("a"))
    assert not table.put("kitchen", stored("b"), 10, 0)
    assert table.get("kitchen", "a") is not None


def test_the_file_stays_about_as_large_as_is_allowed(table: AnswerTable, tmp_path: Path) -> None:
    numbers = random.Random(1)
    for number in range(600):
        text = numbers.randbytes(numbers.choice([100, 3000, 9000]))
        assert table.put("", stored(str(number), text=text), MAX_BYTES, 0)
    assert table.n_bytes <= MAX_BYTES
    assert (tmp_path / "answers.sqlite").stat().st_size < 1.3 * MAX_BYTES


class Clock:
    """Both clocks of a device."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wall_s, self.running_s = time.time(), 1000.0
        monkeypatch.setattr(time, "time", lambda: self.wall_s)
        monkeypatch.setattr(time, "clock_gettime", lambda _clock: self.running_s)

    def pass_by(self, duration_s: float) -> None:
        self.wall_s += duration_s
        self.running_s += duration_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_what_is_not_used_for_so_many_days_goes(clock: Clock, table: AnswerTable) -> None:
    put(table, stored("old"), stored("used"))
    clock.pass_by(2 * DAY_S)
    table.chain("kitchen", "used")
    clock.pass_by(2 * DAY_S)
    table.make_room(MAX_BYTES, 3)
    assert table.get("kitchen", "old") is None
    assert table.get("kitchen", "used") is not None
    table.make_room(MAX_BYTES, 0)
    assert table.get("kitchen", "used") is not None


def test_a_clock_that_is_set_makes_nothing_old(clock: Clock, table: AnswerTable) -> None:
    put(table, stored("a"))
    for set_by_s in (20_000 * DAY_S, -20_000 * DAY_S, 10_000 * DAY_S):
        clock.wall_s += set_by_s
        clock.pass_by(DAY_S / 2)
        table.make_room(MAX_BYTES, 3)
        assert table.get("kitchen", "a") is not None
    clock.pass_by(2 * DAY_S)
    table.make_room(MAX_BYTES, 3)
    assert table.get("kitchen", "a") is None


def test_what_was_kept_before_the_clock_was_set_is_there_after_a_restart(
    clock: Clock, tmp_path: Path
) -> None:
    path, real_s = tmp_path / "answers.sqlite", clock.wall_s
    clock.wall_s = 1000.0
    table = AnswerTable(open_database(path))
    put(table, stored("a"))
    clock.wall_s = real_s
    table.close()
    table = AnswerTable(open_database(path))
    table.make_room(MAX_BYTES, 3)
    assert table.get("kitchen", "a") is not None
    table.close()


def test_a_start_in_the_past_does_not_make_new_ones_the_oldest(
    clock: Clock, tmp_path: Path
) -> None:
    path = tmp_path / "answers.sqlite"
    table = AnswerTable(open_database(path))
    put(table, stored("before"))
    table.close()
    clock.wall_s, clock.running_s = 1000.0, 5.0
    table = AnswerTable(open_database(path))
    clock.pass_by(60)
    put(table, stored("after"))
    assert table.put("kitchen", stored("new"), 2 * ROW_BYTES + 64, 3)
    assert table.get("kitchen", "before") is None
    assert table.get("kitchen", "after") is not None
    table.close()


def test_ids_of_parts_take_room_too(table: AnswerTable) -> None:
    item_ids = [f"{number:0128}" for number in range(5000)]
    for name in "abcd":
        each = StoredAnswer(id=name, answer=b"{}", request=b"[]", item_ids=item_ids)
        assert not table.put("kitchen", each, MAX_BYTES, 0)


def test_no_more_is_read_at_once_than_fits_into_memory(
    table: AnswerTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.answer_store.table.MAX_READ_BYTES", 25_000)
    previous = None
    for name in ("a", "b", "c"):
        text = b" " * 10_000  # takes a few bytes of the file
        each = StoredAnswer(id=name, previous=previous, answer=text, request=b"", item_ids=[name])
        put(table, each)
        previous = name
    assert names(table.chain("kitchen", "b")[0]) == ["a", "b"]
    assert table.chain("kitchen", "c") == ([], "a")
    assert names(table.with_items("kitchen", ["a", "b", "c"])) == ["a", "b"]


def test_one_that_runs_says_so(table: AnswerTable) -> None:
    put(table, StoredAnswer(id="a", answer=b"", request=b"", is_running=True))
    found = table.get("kitchen", "a")
    assert found is not None
    assert found.is_running
