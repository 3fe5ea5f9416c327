"""What a row says is what a reader of the struct finds."""

from __future__ import annotations

from typing import Annotated

import msgspec
import pytest

from app.parameters.row import Group, rows

row = Group("Sampling", "now", given_by={"setting", "request"})


class Params(msgspec.Struct, frozen=True, kw_only=True):
    heat: Annotated[float, row("how hot", ge=0, le=5, aliases=("warmth",))] = 1.5
    depth: Annotated[int, row("how deep", auto="found out", given_by={"load"}, gt=0)] | None = None
    words: Annotated[list[str], row("which words", max_length=3)] = msgspec.field(
        default_factory=lambda: ["a"]
    )
    folder: str = ""


HEAT, DEPTH, WORDS = rows(Params)


def test_fields_without_a_row_are_left_out() -> None:
    assert [each.name for each in rows(Params)] == ["heat", "depth", "words"]


def test_a_row_has_type_default_bounds_and_description() -> None:
    assert (HEAT.kind, HEAT.is_optional, HEAT.default) == (float, False, 1.5)
    assert (HEAT.description, HEAT.bounds) == ("how hot", {"ge": 0, "le": 5})
    assert (DEPTH.kind, DEPTH.is_optional, DEPTH.default) == (int, True, None)
    assert (WORDS.kind, WORDS.default, WORDS.bounds) == (list[str], ["a"], {"max_length": 3})


def test_a_row_says_what_its_group_says_unless_it_says_otherwise() -> None:
    assert (HEAT.details.section, HEAT.details.takes_effect) == ("Sampling", "now")
    assert HEAT.details.given_by == {"setting", "request"}
    assert DEPTH.details.given_by == {"load"}
    assert (HEAT.details.aliases, DEPTH.details.auto) == (("warmth",), "found out")


@pytest.mark.parametrize("value", [-1, 6])
def test_the_decoder_enforces_the_bounds(value: int) -> None:
    frame = msgspec.msgpack.encode({"heat": value})
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(frame, type=Params)
