"""Owns the rows of the cache benchmark, their table and their JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Bound:
    """The most that a figure may be, and why."""

    at_most: float
    why: str = ""

    def __str__(self) -> str:
        return f"≤ {figure(self.at_most)}" + (f" ({self.why})" if self.why else "")


@dataclass(frozen=True)
class Row:
    """A figure of one shape.

    Attributes:
        name: the scenario and which of its requests.
        unit: what is counted; "of cold" is the share of a cold time to first token.
        peer: llama-server's figure; None where it has none.
        bounds: what our figure is held to.
        details: what a reader needs to judge it, such as cached and prompt tokens.
    """

    shape: str
    name: str
    unit: str
    ours: float
    peer: float | None = None
    bounds: Sequence[Bound] = ()
    details: str = ""

    @property
    def is_reached(self) -> bool | None:
        """Whether all bounds are kept; None where there is none."""
        if not self.bounds:
            return None
        return all(self.ours <= bound.at_most for bound in self.bounds)

    def as_json(self) -> dict[str, Any]:
        """Return everything that is known."""
        return {
            "shape": self.shape,
            "name": self.name,
            "unit": self.unit,
            "ours": self.ours,
            "llama_server": self.peer,
            "bounds": [{"at_most": bound.at_most, "why": bound.why} for bound in self.bounds],
            "reached": self.is_reached,
            "details": self.details,
        }


_TITLES = ("shape", "what", "ours", "llama-server", "unit", "target", "reached", "details")
_REACHED = {True: "PASS", False: "miss", None: ""}


def as_table(rows: Iterable[Row]) -> str:
    """Return a Markdown table with aligned columns."""
    cells = [_TITLES, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(_TITLES))]
    lines = [_line(line, widths) for line in cells]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def as_matrix(rows: Iterable[Row]) -> str:
    """Return a Markdown table with a column for each shape: ours ; llama-server's.

    What misses a target is bold.
    """
    rows = list(rows)
    shapes = list(dict.fromkeys(row.shape for row in rows))
    found = {(row.name, row.unit, row.shape): _cell(row) for row in rows}
    names = list(dict.fromkeys((row.name, row.unit) for row in rows))
    lines = [f"| what | unit | {' | '.join(shapes)} |", "|---|---|" + "---|" * len(shapes)]
    for name, unit in names:
        cells = [found.get((name, unit, shape), "") for shape in shapes]
        lines.append(f"| {name} | {unit} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(row: Row) -> str:
    ours = f"**{figure(row.ours)}**" if row.is_reached is False else figure(row.ours)
    return ours if row.peer is None else f"{ours} ; {figure(row.peer)}"


def summary(rows: Iterable[Row]) -> str:
    """Return how many targets are reached, and which are not."""
    judged = [row for row in rows if row.is_reached is not None]
    missed = [f"{row.shape}: {row.name}" for row in judged if not row.is_reached]
    sentence = f"{len(judged) - len(missed)} of {len(judged)} targets reached"
    return "\n  missed: ".join([sentence, *missed])


def figure(value: float) -> str:
    """Return a number as a reader wants it: counts whole, shares with three decimals."""
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}"


def _cells(row: Row) -> Sequence[str]:
    return (
        row.shape,
        row.name,
        figure(row.ours),
        "" if row.peer is None else figure(row.peer),
        row.unit,
        ", ".join(map(str, row.bounds)),
        _REACHED[row.is_reached],
        row.details,
    )


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
    return "| " + " | ".join(padded) + " |"
