"""Owns what a measurement yields: medians, ratios, targets, and their table and JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Literal


@dataclass(frozen=True)
class Target:
    """A bound that a figure is to keep.

    Attributes:
        of: whether it bounds our own figure, its ratio to the peer's or its distance from it.
        is_lower_bound: whether more is better.
    """

    value: float
    of: Literal["ours", "ratio", "difference"]
    is_lower_bound: bool = False

    def is_reached_by(self, figure: float) -> bool:
        """Say whether a figure keeps the bound."""
        return figure >= self.value if self.is_lower_bound else figure <= self.value


@dataclass(frozen=True)
class Result:
    """One row of the table.

    Attributes:
        ours: one sample a repeat, in `unit`.
        peer: the samples taken between ours; empty where there is no peer.
        peer_name: what the peer is, in a few words.
        notes: what a reader must know to judge the figures.
    """

    name: str
    unit: str
    ours: Sequence[float]
    target: Target | None = None
    peer: Sequence[float] = ()
    peer_name: str = ""
    notes: Sequence[str] = field(default_factory=tuple)

    @property
    def ratio(self) -> float | None:
        """Median of the ratios within each repeat: what drifts between repeats cancels out."""
        if not self.peer:
            return None
        return median(ours / peer for ours, peer in zip(self.ours, self.peer, strict=True))

    @property
    def difference(self) -> float | None:
        """Median of ours less the peer's within each repeat."""
        if not self.peer:
            return None
        return median(ours - peer for ours, peer in zip(self.ours, self.peer, strict=True))

    @property
    def is_reached(self) -> bool | None:
        """Whether the target is reached; None where there is none."""
        if self.target is None:
            return None
        figures = {"ours": median(self.ours), "ratio": self.ratio, "difference": self.difference}
        figure = figures[self.target.of]
        return None if figure is None else self.target.is_reached_by(figure)

    def as_json(self) -> dict[str, Any]:
        """Return everything that is known, samples included."""
        return {
            "name": self.name,
            "unit": self.unit,
            "ours": median(self.ours),
            "ours_samples": list(self.ours),
            "peer": median(self.peer) if self.peer else None,
            "peer_samples": list(self.peer),
            "peer_name": self.peer_name or None,
            "ratio": self.ratio,
            "difference": self.difference,
            "target": None
            if self.target is None
            else {
                "of": self.target.of,
                "at_least" if self.target.is_lower_bound else "at_most": self.target.value,
            },
            "reached": self.is_reached,
            "notes": list(self.notes),
        }


_TITLES = ("name", "ours", "peer", "ratio", "target", "reached")


def as_table(results: Iterable[Result]) -> str:
    """Return the results as a Markdown table with aligned columns, notes below it."""
    results = list(results)
    rows = [_TITLES, *map(_row, results)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [_line(row, widths) for row in rows]
    lines.insert(1, _line(["-" * width for width in widths], widths))
    notes = [f"{result.name}: {note}" for result in results for note in result.notes]
    return "\n".join([*lines, *([""] if notes else []), *notes])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [cell.ljust(width) for cell, width in zip(cells, widths, strict=True)]
    return f"| {' | '.join(padded)} |"


def _row(result: Result) -> tuple[str, ...]:
    peer, ratio, target = "", "", ""
    if result.peer:
        peer = f"{_number(median(result.peer))} {result.unit} ({result.peer_name})"
    if result.ratio is not None:
        ratio = f"{result.ratio:.3f}"
    if result.target:
        target = _bound(result.target, result.unit)
    reached = {True: "yes", False: "NO", None: ""}[result.is_reached]
    ours = f"{_number(median(result.ours))} {result.unit}"
    return result.name, ours, peer, ratio, target, reached


def _bound(target: Target, unit: str) -> str:
    sign = "≥" if target.is_lower_bound else "≤"
    figure = f"{sign} {target.value:g}"
    return {
        "ours": f"{figure} {unit}",
        "ratio": figure,
        "difference": f"{sign} peer + {target.value:g} {unit}",
    }[target.of]


def _number(value: float) -> str:
    """Return about three significant digits."""
    decimals = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3
    return f"{value:,.{decimals}f}"
