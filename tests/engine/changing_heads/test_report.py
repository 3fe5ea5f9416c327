"""A report says where, what and at what cost; its message holds no words of the prompt."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec
import pytest

from app.engine.changing_heads.family import Change
from app.engine.changing_heads.report import report_of
from app.protocol import ChangingHead

FIRST = Change(
    at_s=0.0,
    start=10,
    n_behind=300,
    n_places=1,
    n_again=310,
    kind="time",
    before="It is",
    value="12:03",
)


def report(*changes: Change, has_system: bool = True) -> ChangingHead:
    return report_of(changes, 400, 10.0, has_system=has_system)


def other(**fields: Any) -> Change:
    return dataclasses.replace(FIRST, **fields)


def test_it_is_about_the_first_place_and_the_mean_cost() -> None:
    found = report(other(start=90, n_behind=100, kind="number", n_again=100, n_places=3), FIRST)
    assert msgspec.structs.replace(found, message="") == ChangingHead(
        index=10,
        head_tokens=400,
        kind="time",
        places=3,
        changes=2,
        tokens=205,
        seconds=20.5,
        before="It is",
        values=["12:03"],
        message="",
    )


def test_it_shows_the_latest_values_of_that_place() -> None:
    values = ["12:03", "12:04", "12:04", "12:05", "", "12:06"]
    found = report(
        *(other(value=value) for value in values), other(start=90, n_behind=9, value="x")
    )
    assert found.values == ["12:04", "12:05", "12:06"]


@pytest.mark.parametrize("kind", ["time", "date", "identifier", "number", "state", "text"])
def test_the_message_names_the_kind_and_no_words(kind: str) -> None:
    message = report(other(kind=kind)).message
    assert "token 10 of 400" in message
    assert "310 tokens" in message
    assert "31 s" in message
    assert "It is" not in message
    assert "12:03" not in message


@pytest.mark.parametrize(("n_again", "shown"), [(2, "0.2 s"), (94, "9.4 s"), (12_345, "1234 s")])
def test_seconds_are_written_as_people_read_them(n_again: int, shown: str) -> None:
    assert f"takes {shown}." in report(other(n_again=n_again)).message


def test_the_advice_depends_on_where_it_could_go() -> None:
    assert "end of the system prompt" in report(FIRST).message
    assert "end of the system prompt" not in report(other(n_behind=9)).message
    assert "end of the system prompt" not in report(FIRST, has_system=False).message
    assert all("last user message" in report(other(n_behind=n)).message for n in (9, 300))
